"""What pictures of a network's edges have in common: the curves, and which to draw."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kanlit.nn import KANLayer
from kanlit.plotting.histogram import Array, as_array

__all__ = ["edge_curves", "most_important", "opacities"]

FAINTEST = 0.12
_NUMBERS = 2**20  # edge outputs worked out at a time


def edge_curves(layer: KANLayer, points: int = 101) -> tuple[Array, Array]:
    """Every edge's function over the grid of its input.

    Args:
        layer: Whose edges.
        points: So many, evenly spaced from the first breakpoint to the last.

    Returns:
        x ``(points, in)`` and φ_qp(x_p) ``(points, in, out)``, spline and base branch.
    """
    low, high = layer.breakpoints[:, 0], layer.breakpoints[:, -1]
    unit = torch.linspace(0, 1, points, dtype=low.dtype, device=low.device).unsqueeze(1)
    x = low + (high - low) * unit
    at_a_time = max(1, _NUMBERS // (layer.in_features * layer.out_features))
    with torch.no_grad():
        values = torch.cat([layer.edge_functions(rows).cpu() for rows in x.split(at_a_time)])
    return as_array(x), as_array(values)


def most_important(importances: Sequence[Tensor], most: int) -> list[Tensor]:
    """Which edges to draw where there is not room for all, ``(out, in)`` of each layer.

    Layers have equal room, and what one does not need goes to the others: a share of the outputs
    is large where a layer has few edges, and the most important of all would leave wide layers
    empty. Within a layer the most important are taken.

    Args:
        importances: ``(out, in)`` of each layer.
        most: Edges in all; each layer has one at least.
    """
    room = [0] * len(importances)
    left = most
    by_size = sorted(range(len(importances)), key=lambda i: importances[i].numel())
    for place, i in enumerate(by_size):
        fair = left // (len(by_size) - place)
        room[i] = max(1, min(importances[i].numel(), fair))
        left -= room[i]
    chosen = []
    for importance, count in zip(importances, room, strict=True):
        taken = torch.zeros(importance.numel(), dtype=torch.bool)
        taken[importance.flatten().cpu().argsort(descending=True, stable=True)[:count]] = True
        chosen.append(taken.view(importance.shape))
    return chosen


def opacities(importance: Tensor) -> Array:
    """Opacity of each edge of a layer, from faint to 1 by the root of its importance.

    Args:
        importance: ``(out, in)``.
    """
    values = as_array(importance)
    return FAINTEST + (1 - FAINTEST) * (values / (values.max() or 1.0)) ** 0.5
