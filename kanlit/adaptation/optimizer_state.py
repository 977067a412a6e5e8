"""Remaps optimizer state after a grid change or a pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from torch import Tensor
from torch.optim import LBFGS, Optimizer

from kanlit.adaptation.report import AdaptationReport
from kanlit.compat import forget_parameter_count
from kanlit.errors import ConfigurationError
from kanlit.nn import KANLayer, Kept, select_nodes

__all__ = [
    "OptimizerState",
    "check_policy",
    "forget",
    "retain_optimizer_state",
    "unwrapped",
    "update_optimizer_state",
]

OptimizerState = Literal["keep", "reset_changed", "reset_all"]


def check_policy(policy: OptimizerState) -> None:
    """Raises :class:`ConfigurationError` where ``policy`` is none."""
    if policy not in get_args(OptimizerState):
        choices = " or ".join(map(repr, get_args(OptimizerState)))
        raise ConfigurationError(f"optimizer_state must be {choices}, got {policy!r}")


def unwrapped(optimizer: Optimizer) -> Optimizer:
    """The optimizer inside Lightning's wrapper, whose own attributes have no effect."""
    inner: Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner


def update_optimizer_state(
    optimizer: Optimizer,
    layers: Mapping[str, KANLayer],
    report: AdaptationReport,
    policy: OptimizerState,
) -> None:
    """Remaps an optimizer's state to the grids that an adaptation has moved.

    Args:
        optimizer: Any optimizer of torch; the parameters it holds are unchanged objects.
        layers: The layers, by name.
        report: What was adapted.
        policy: ``"keep"`` carries the moments of each basis function over to those that succeed
            it, see :meth:`kanlit.bases.Basis.predecessors`;
            ``"reset_changed"`` drops the moments of the coefficients whose grid has moved;
            ``"reset_all"`` drops everything, as if the optimizer were new.
    """
    # The history of L-BFGS is of flat vectors of all parameters: none of it fits the new bases.
    if policy == "reset_all" or isinstance(optimizer, LBFGS):
        forget(optimizer)
        return
    for adapted in report.layers:
        layer = layers[adapted.name]
        state = optimizer.state.get(layer.coefficients)
        if not state:
            continue
        if policy == "reset_changed":
            del optimizer.state[layer.coefficients]
            continue
        old = layer.basis_on(layer.knots_for(adapted.old_breakpoints))
        if not all(_fits(value, layer, old.count) for value in state.values()):
            del optimizer.state[layer.coefficients]  # factored moments have no bases to carry
            continue
        dtype = layer.knots.dtype
        predecessors = layer.exact_basis.cast(dtype).predecessors(old.cast(dtype))
        for key, value in state.items():
            state[key] = _carry(value, predecessors)


def retain_optimizer_state(
    optimizer: Optimizer, layers: Sequence[KANLayer], kept: Sequence[Kept]
) -> None:
    """Brings an optimiser's state in line with layers that have been pruned.

    Moments of nodes that stay stay, those of edges that are put out become 0, so that nothing
    moves them. L-BFGS starts anew, and so does a parameter whose moments are not of its shape.

    Args:
        optimizer: Any optimiser of torch; the parameters it holds are unchanged objects.
        layers: The layers, pruned.
        kept: What of each was kept, in the sizes before.
    """
    if isinstance(optimizer, LBFGS):
        forget(optimizer)
        return
    for layer, part in zip(layers, kept, strict=True):
        for parameter in layer.parameters(recurse=False):
            state = optimizer.state.get(parameter)
            if not state:
                continue
            sides = part.edges.shape[: min(parameter.ndim, 2)]
            moments = {k: v for k, v in state.items() if isinstance(v, Tensor) and v.ndim > 0}
            if any(v.shape != (*sides, *parameter.shape[2:]) for v in moments.values()):
                del optimizer.state[parameter]
                continue
            for key, value in moments.items():
                state[key] = select_nodes(value, part.outputs, part.inputs)
                if parameter.ndim > 1:
                    state[key][~select_nodes(part.edges, part.outputs, part.inputs)] = 0


def forget(optimizer: Optimizer) -> None:
    """Drops all that an optimiser remembers, as if it were made anew."""
    optimizer.state.clear()
    if isinstance(optimizer, LBFGS):
        forget_parameter_count(optimizer)


def _fits(value: Any, layer: KANLayer, old_bases: int) -> bool:
    """Whether it is a number or a moment ``(out, in, G+k)`` of each coefficient."""
    shape = (layer.out_features, layer.in_features, old_bases)
    return not isinstance(value, Tensor) or value.ndim == 0 or tuple(value.shape) == shape


def _carry(value: Any, predecessors: Tensor) -> Any:
    """A moment ``(out, in, G+k)`` by their predecessors; anything else as it is."""
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value
    return value.gather(2, predecessors.expand(value.shape[0], -1, -1))
