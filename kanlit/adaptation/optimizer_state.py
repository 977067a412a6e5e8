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
    """Raises :class:`ConfigurationError` if the policy is unknown."""
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
    """Remaps the state of an optimizer after an adaptation.

    Args:
        optimizer: Any torch optimizer.
        layers: The layers by name.
        report: The adaptation.
        policy: ``"keep"`` copies the moments of each old basis function to its successors, see
            :meth:`kanlit.bases.Basis.predecessors`;
            ``"reset_changed"`` drops the moments of coefficients whose grid has changed;
            ``"reset_all"`` drops the whole state.
    """
    # The history of L-BFGS consists of flat vectors over all parameters, which no longer fit.
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
            del optimizer.state[layer.coefficients]  # factored moments cannot be remapped
            continue
        dtype = layer.knots.dtype
        predecessors = layer.exact_basis.cast(dtype).predecessors(old.cast(dtype))
        for key, value in state.items():
            state[key] = _remap(value, predecessors)


def retain_optimizer_state(
    optimizer: Optimizer, layers: Sequence[KANLayer], kept: Sequence[Kept]
) -> None:
    """Remaps the state of an optimizer after pruning.

    Moments of kept nodes are kept; those of pruned edges become 0, so that their parameters do not
    move. Resets the state of L-BFGS, and of parameters whose moments have another shape.

    Args:
        optimizer: Any torch optimizer.
        layers: The pruned layers.
        kept: What was kept of each layer, in the shapes before.
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


def forget(optimizer: Optimizer, keep: Sequence[str] = ()) -> None:
    """Drops the state of an optimizer, except the values with the names in ``keep``."""
    kept = {
        parameter: {name: value for name, value in state.items() if name in keep}
        for parameter, state in optimizer.state.items()
    }
    optimizer.state.clear()
    optimizer.state.update({parameter: state for parameter, state in kept.items() if state})
    if isinstance(optimizer, LBFGS):
        forget_parameter_count(optimizer)


def _fits(value: Any, layer: KANLayer, old_bases: int) -> bool:
    """Whether a state value is a scalar or a moment ``(out, in, G+k)`` per coefficient."""
    shape = (layer.out_features, layer.in_features, old_bases)
    return not isinstance(value, Tensor) or value.ndim == 0 or tuple(value.shape) == shape


def _remap(value: Any, predecessors: Tensor) -> Any:
    """Gathers a moment ``(out, in, G+k)`` by predecessors; returns scalars unchanged."""
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value
    return value.gather(2, predecessors.expand(value.shape[0], -1, -1))
