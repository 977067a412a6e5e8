"""Visits the KAN layers of a network during a forward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kanlit.adaptation.density import ImportanceContext, ImportanceDensity, Weigher
from kanlit.errors import ConfigurationError
from kanlit.nn import KANLayer

__all__ = ["check_adaptable", "kan_layers", "row_weights", "visit_layers"]


def kan_layers(network: nn.Module) -> dict[str, KANLayer]:
    """The KAN layers anywhere inside ``network``, by name."""
    return {name: m for name, m in network.named_modules() if isinstance(m, KANLayer)}


def visit_layers(
    network: nn.Module,
    inputs: Tensor,
    sample_losses: Tensor | None,
    visit: Callable[[str, ImportanceContext], None],
) -> Tensor:
    """Calls ``visit(name, context)`` before each KAN layer of one forward pass.

    A layer that is used twice in the pass is visited once, on its first input.

    Returns:
        The output of the network.

    Raises:
        ValueError: If ``visit`` raises one; its message is prefixed with the layer name.
    """
    names = {layer: name for name, layer in kan_layers(network).items()}
    visited: set[nn.Module] = set()

    def stop(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if layer in visited:
            return
        assert isinstance(layer, KANLayer)
        x: Tensor = args[0] if args else kwargs["x"]
        rows = x.reshape(-1, layer.in_features)
        context = ImportanceContext(
            layer, rows, network, inputs, sample_losses, tuple(x.shape[:-1])
        )
        name = names[layer]
        try:
            visit(name, context)
        except ConfigurationError:
            raise
        except (ValueError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
            raise ValueError(f"layer {name or type(network).__name__}: {error}") from error
        visited.add(layer)

    hooks = []
    try:
        hooks += [layer.register_forward_pre_hook(stop, with_kwargs=True) for layer in names]
        output: Tensor = network(inputs)
        return output
    finally:
        for hook in hooks:
            hook.remove()


def row_weights(name: str, weigh: Weigher, context: ImportanceContext) -> Tensor:
    """The weights ``(rows,)`` or ``(rows, in)`` of the input rows of a layer.

    Raises:
        ConfigurationError: If the density returns weights of another shape.
    """
    weights = context.by_row(weigh(context))
    rows, features = context.layer_input.shape
    if tuple(weights.shape) not in {(rows,), (rows, features)}:
        raise ConfigurationError(
            f"layer {name or type(context.network).__name__}: importance weights must be "
            f"({rows},) or ({rows}, {features}), one per sample, got {tuple(weights.shape)}: "
            f"correct the density"
        )
    return weights


@torch.no_grad()
def check_adaptable(
    network: nn.Module,
    inputs: Tensor,
    density: ImportanceDensity,
    sample_losses: Tensor | None = None,
) -> None:
    """Checks that the grids of a network can be adapted with a density; changes nothing.

    Computes weights of a few samples at every layer, as :func:`kanlit.adaptation.adapt_grids` does.

    Args:
        network: In evaluation mode.
        inputs: Some samples ``(n, …)``.
        density: The density.
        sample_losses: Loss of each sample ``(n,)``, for densities that use it.

    Raises:
        ConfigurationError: If the network cannot be called on the samples, does not use its KAN
            layers or does not return a tensor, if weights do not fit the input rows of a layer, or
            if the density lacks what it needs.
    """
    reached: list[str] = []
    density = copy.deepcopy(density)  # so that its state does not change

    def visit(name: str, context: ImportanceContext) -> None:
        reached.append(name)
        row_weights(name, weigh, context)

    try:
        weigh = density.prepare(first_context(network, inputs, sample_losses))
        output = visit_layers(network, inputs, sample_losses, visit)
    except ConfigurationError:
        raise
    except (ValueError, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        return  # caused by the values of these samples, not by the structure of the network
    except (NotImplementedError, TypeError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigurationError(
            f"grids cannot adapt: {type(network).__name__} fails on samples of shape "
            f"{tuple(inputs.shape[1:])} and {inputs.dtype} ({type(error).__name__}: {reason}): "
            f"give the LightningModule an attribute network and a method adaptation_inputs(batch) "
            f"that returns the inputs of the network"
        ) from error
    if not reached:
        raise ConfigurationError(
            f"grids cannot adapt: no KANLayer is used in the forward of {type(network).__name__}: "
            f"call its layers there"
        )
    if not isinstance(output, Tensor):
        raise ConfigurationError(
            f"grids cannot adapt: the forward of {type(network).__name__} returns "
            f"{type(output).__name__}: return one tensor, or give the LightningModule an attribute "
            f"network that returns one"
        )


def first_context(
    network: nn.Module, inputs: Tensor, sample_losses: Tensor | None
) -> ImportanceContext:
    """The context of a density at the start of an adaptation, before any layer has changed."""
    first = next(iter(kan_layers(network).values()))
    return ImportanceContext(first, inputs, network, inputs, sample_losses, tuple(inputs.shape[:1]))
