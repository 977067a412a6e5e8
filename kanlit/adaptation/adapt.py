"""Adapts every grid of a network: places knots by importance weights and refits coefficients."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kanlit.adaptation.density import ImportanceContext, ImportanceDensity
from kanlit.adaptation.optimizer_state import (
    OptimizerState,
    check_policy,
    unwrapped,
    update_optimizer_state,
)
from kanlit.adaptation.placement import Placement
from kanlit.adaptation.report import AdaptationReport, LayerAdaptation
from kanlit.adaptation.visit import first_context, kan_layers, row_weights, visit_layers

__all__ = ["adapt_grids"]


@torch.no_grad()
def adapt_grids(
    network: nn.Module,
    inputs: Tensor,
    density: ImportanceDensity,
    grid_size: int | None = None,
    *,
    optimizer: Optimizer | Sequence[Optimizer] = (),
    optimizer_state: OptimizerState = "reset_changed",
    placement: Placement | None = None,
    sample_losses: Tensor | None = None,
    loss: Callable[[], Tensor] | None = None,
    max_loss_growth: float = math.inf,
    least_loss: float = 0.0,
    insert_above: float = math.inf,
) -> AdaptationReport:
    """Adapts the grids of all KAN layers in ``network``, from the first to the last.

    One forward pass sends ``inputs`` through the network. Each layer is adapted when the pass
    reaches it, on its input from the already adapted layers before it. The gradients of adapted
    coefficients are dropped, because they belong to the old knots.

    In a custom training loop, pass the optimizer and call it between two steps:

        optimizer.step()
        adapt_grids(network, x, density, grid_size=8, optimizer=optimizer)

    Otherwise an optimizer whose state has the old shapes raises an error at its next step. If G
    stays the same, so do the shapes: without ``optimizer=`` the optimizer silently keeps the
    moments of the old knots.

    Args:
        network: Any module that contains KAN layers and maps ``(n, …)`` to ``(n, …)``. A layer may
            see several rows per sample, such as the positions of a sequence.
        inputs: Samples ``(n, …)``, finite.
        density: Importance density of the samples.
        grid_size: New G of every layer; each keeps its own if omitted.
        optimizer: Optimizers of the network's parameters; their state is remapped. Lightning's
            wrappers are unwrapped.
        optimizer_state: How to remap it, see :func:`update_optimizer_state`.
        placement: How to place knots and refit coefficients.
        sample_losses: Loss of each sample ``(n,)``, for densities that use it.
        loss: Returns the training loss; if given, it is measured before and after.
        max_loss_growth: Largest allowed factor by which the loss may grow.
        least_loss: Lower bound of the loss that ``max_loss_growth`` refers to, so that grids can
            still move when the loss is very small.
        insert_above: An extension by ``"replace"`` that multiplies the loss by more than this, or
            that would be rolled back for its loss, is repeated by insertion, with the same result
            as ``"insert"`` in ``placement``. Needs ``loss``.

    Returns:
        A report with one entry per layer.

    Raises:
        ValueError: If there is no KAN layer, samples or weights are not finite, a setting is out of
            range, the output is no longer finite or the loss grows too much. The message names the
            layer. Network, gradients, density and optimizers are then rolled back.
        ConfigurationError: If the density lacks what it needs; likewise rolled back.

    Source: arXiv 2601.18672, section 3.
    """
    start = time.perf_counter()
    placement = placement or Placement()
    check_policy(optimizer_state)
    layers = kan_layers(network)
    if not layers:
        raise ValueError("the network contains no KANLayer, so it has no grid to adapt")
    saved = [
        (m, m.knots.clone(), m.coefficients.detach().clone(), m.coefficients.grad)
        for m in layers.values()
    ]
    density_state = copy.deepcopy(density.state_dict())

    def roll_back() -> None:
        for layer, knots, weight, gradient in saved:
            layer.restore_grid(knots, weight)
            layer.coefficients.grad = gradient
        density.load_state_dict(copy.deepcopy(density_state))

    def adapt_all(placement: Placement) -> tuple[dict[str, LayerAdaptation], Tensor, float | None]:
        """Adapts all layers; returns their reports, the network's output and the loss."""
        done: dict[str, LayerAdaptation] = {}
        weigh = density.prepare(first_context(network, inputs, sample_losses))

        def adapt(name: str, context: ImportanceContext) -> None:
            weights = row_weights(name, weigh, context)
            done[name] = _adapt_layer(name, context, weights, grid_size, placement)

        after = visit_layers(network, inputs, sample_losses, adapt)
        return done, after, float(loss()) if loss else None

    training = {module: module.training for module in network.modules()}
    replaced = None
    try:
        network.eval()
        loss_before = float(loss()) if loss else None
        before = network(inputs)
        done, after, loss_after = adapt_all(placement)
        limit = _largest_loss(loss_before, max_loss_growth, least_loss, insert_above)
        extended = any(layer.extended for layer in done.values())
        harmful = loss_after is not None and limit < math.inf and not loss_after <= limit
        if extended and harmful and placement.extension == "replace":
            roll_back()
            replaced = loss_after
            done, after, loss_after = adapt_all(replace(placement, extension="insert"))
        _check_outcome(done, before, after, loss_before, loss_after, max_loss_growth, least_loss)
    except BaseException:
        roll_back()  # after any failure, including Ctrl-C
        raise
    finally:
        for module, mode in training.items():
            module.training = mode  # per module: some may be frozen in evaluation mode
    for name in done:
        layers[name].coefficients.grad = None
    report = AdaptationReport(
        layers=tuple(done[name] for name in layers if name in done),
        grid_size=max(layer.grid_size for layer in layers.values()),
        refit_error=_relative_change(before, after),
        seconds=time.perf_counter() - start,
        loss_before=loss_before,
        loss_after=loss_after,
        loss_replaced=replaced,
    )
    for held in [optimizer] if isinstance(optimizer, Optimizer) else optimizer:
        update_optimizer_state(unwrapped(held), layers, report, optimizer_state)
    return report


def _largest_loss(
    loss_before: float | None, max_loss_growth: float, least_loss: float, insert_above: float
) -> float:
    """Largest loss with which an extension keeps its replaced knots."""
    if loss_before is None or not math.isfinite(loss_before):
        return math.inf
    limits = []
    if math.isfinite(insert_above):
        limits.append(insert_above * loss_before)
    if math.isfinite(max_loss_growth):
        limits.append(max_loss_growth * max(loss_before, least_loss))
    return min(limits, default=math.inf)


def _check_outcome(
    done: dict[str, LayerAdaptation],
    before: Tensor,
    after: Tensor,
    loss_before: float | None,
    loss_after: float | None,
    max_loss_growth: float,
    least_loss: float,
) -> None:
    """Raises if the adaptation did harm, naming the layer with the largest refit error."""
    if not done:
        raise ValueError("no KANLayer is used in the network's forward: none has been adapted")
    worst = max(done.values(), key=lambda layer: layer.refit_error)
    blame = f"the largest refit error is {worst.refit_error:.1e} in layer {worst.name}"
    if bool(torch.isfinite(before).all()) and not bool(torch.isfinite(after).all()):
        raise ValueError(f"the network's output is no longer finite; {blame}")
    if loss_before is None or loss_after is None or not math.isfinite(loss_before):
        return
    reference = max(loss_before, least_loss)
    if not math.isfinite(loss_after) or (
        math.isfinite(max_loss_growth) and loss_after > max_loss_growth * reference
    ):
        raise ValueError(
            f"the loss grew from {loss_before:.2e} to {loss_after:.2e}, more than "
            f"{max_loss_growth:g} times; {blame}"
        )


def _adapt_layer(
    name: str,
    context: ImportanceContext,
    weights: Tensor,
    grid_size: int | None,
    placement: Placement,
) -> LayerAdaptation:
    """Moves the knots of one layer and refits its coefficients."""
    layer, samples = context.layer, context.layer_input
    if not bool(torch.isfinite(samples).all()):
        raise ValueError("samples contain NaN or infinite values")
    old_breakpoints, old = layer.breakpoints.clone(), layer.exact_basis
    before = layer.forward(samples)  # not layer(…), whose hook calls this function
    wanted = layer.grid_size if grid_size is None else grid_size
    coefficients = layer.coefficients.detach()
    inserts = placement.extension == "insert" and wanted > layer.grid_size
    spacing = {"uniform_mix": placement.uniform_mix, "least_gap": placement.least_gap}
    if inserts:
        breakpoints = layer.basis_class.insert_breakpoints(
            old_breakpoints, samples, weights, wanted, **spacing
        )
    else:
        breakpoints = layer.basis_class.place_breakpoints(
            old_breakpoints,
            samples,
            weights,
            wanted,
            margin=placement.margin,
            order=context.order,
            **spacing,
        )
    knots = layer.knots_for(breakpoints)
    basis = layer.basis_on(knots)
    if inserts:
        fitted = basis.insert(coefficients, old)
    elif placement.refit == "projection":
        fitted = basis.project(coefficients, old)
    else:
        fitted = basis.fit_to_samples(coefficients, old, samples)
    layer.set_grid(knots, fitted, basis)
    low, high = old_breakpoints[:, 0], old_breakpoints[:, -1]
    return LayerAdaptation(
        name=name,
        old_breakpoints=old_breakpoints,
        new_breakpoints=layer.breakpoints.clone(),
        samples=samples,
        weights=weights,
        refit_error=_relative_change(before, layer.forward(samples)),
        out_of_range=float(((samples < low) | (samples > high)).double().mean()),
    )


def _relative_change(before: Tensor, after: Tensor) -> float:
    """‖after - before‖ / ‖before‖; the absolute change if ``before`` is zero."""
    change, size = (after - before).double().norm(), before.double().norm()
    return float(change / size if size > 0 else change)
