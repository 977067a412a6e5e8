"""The strengths that smooth each edge, kept in the state of the optimizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from kanlit.errors import ConfigurationError
from kanlit.nn import KANLayer
from kanlit.optim.jacobian import JacobianColumns
from kanlit.optim.objective import from_first_rank
from kanlit.optim.smoothing import EdgePenalties, SmoothFit

__all__ = ["STRENGTHS", "read_strengths", "smoothed_penalties", "write_strengths"]

_FIRST = 1e-3
_STEPS_BEFORE = 5  # with the first strengths, so that edges vanish by the data alone
_RIDGE = 0.01  # prior precision of all parameters, times the variance of the noise
_LEAST_RIDGE = 1e-4  # the same if no edge is penalized toward zero, so that Λ is regular

STRENGTHS = ("straightening", "shrinking")
"""Names in the state of a layer's base weight, beside ``steps``."""


def read_strengths(optimizer: Optimizer, layers: Sequence[KANLayer]) -> tuple[list[Tensor], int]:
    """Strengths of the penalties of each layer ``(2, out, in)``, and number of steps so far.

    An infinite strength stays: its edge is straight, or zero. So does a strength of 0.
    """
    found, steps = [], 0
    for layer in layers:
        own = optimizer.state.get(layer.base_weight) or {}
        steps = own.get("steps", 0)
        pair = [own.get(name) for name in STRENGTHS]
        first = torch.full_like(layer.base_weight, _FIRST)
        found.append(torch.stack([first if s is None else s for s in pair]).double())
    return found, steps


def write_strengths(
    optimizer: Optimizer, layers: Sequence[KANLayer], strengths: Sequence[Tensor], steps: int
) -> None:
    """Saves what :func:`read_strengths` returns, equal on all ranks."""
    for layer, own in zip(layers, strengths, strict=True):
        # In the dtype of the parameter, to which loading casts them.
        pair = from_first_rank(own.to(layer.base_weight)).unbind()
        state = {**(optimizer.state.get(layer.base_weight) or {}), "steps": steps}
        optimizer.state[layer.base_weight] = {**state, **dict(zip(STRENGTHS, pair, strict=True))}


def smoothed_penalties(
    optimizer: Optimizer,
    layers: Sequence[KANLayer],
    columns: JacobianColumns,
    products: Tensor,
    loss: float,
    count: int,
) -> tuple[EdgePenalties, SmoothFit]:
    """Penalties whose strengths are updated by the data and saved.

    Args:
        optimizer: Holds the strengths.
        layers: The KAN layers.
        columns: The parameters.
        products: JᵀJ ``(P, P)``.
        loss: Mean of the squared residuals.
        count: Number of residuals.

    Raises:
        ConfigurationError: The optimizer does not train all parameters of the layers.
    """
    held = {id(p) for p in optimizer.param_groups[0]["params"] if p.requires_grad}
    for layer in layers:
        if not {id(layer.base_weight), id(layer.coefficients)} <= held:
            raise ConfigurationError(
                "smoothness auto needs all base weights and coefficients of the KAN layers: "
                "give them to the optimizer, or set smoothness to a number"
            )
    strengths, steps = read_strengths(optimizer, layers)
    shrunk = any(bool((own[1] > 0).any()) for own in strengths)
    ridge = (_RIDGE if shrunk else _LEAST_RIDGE) * loss / count
    penalties = EdgePenalties(columns, layers, strengths, ridge)
    moves = steps >= _STEPS_BEFORE
    found = penalties.update(products, columns.gather(), loss, count, moves=moves)
    write_strengths(optimizer, layers, penalties.strengths, steps + 1)
    return penalties, found
