"""Shared by plots of edges: the curves, and which edges to draw."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kanlit.nn import KANLayer
from kanlit.plotting.histogram import Array, as_array

__all__ = ["by_importance", "connected", "edge_curves", "most_important", "opacities"]

FAINTEST = 0.12
_NUMBERS = 2**20  # edge outputs computed at a time


def edge_curves(layer: KANLayer, points: int = 101) -> tuple[Array, Array]:
    """The function of every edge over the grid of its input.

    Args:
        layer: The layer.
        points: Number of points, equally spaced from the first breakpoint to the last.

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


def by_importance(importance: Tensor) -> list[int]:
    """Inputs of a layer from the most important to the least, by their edges ``(out, in)``."""
    found: list[int] = importance.sum(0).cpu().argsort(descending=True, stable=True).tolist()
    return found


def most_important(importances: Sequence[Tensor], most: int, fraction: float = 1.0) -> list[Tensor]:
    """Masks ``(out, in)`` of the edges to draw.

    Of each layer, the fewest edges that hold a fraction of its importance. If these are too many,
    each layer gets the same number of edges, and layers with fewer leave the rest to the others.
    Importances are not comparable between layers: they are large in layers with few edges.

    Args:
        importances: ``(out, in)`` of each layer.
        most: Total number of edges; each layer gets at least one.
        fraction: Fraction of a layer's importance, above 0 to 1; 1 for all edges.
    """
    wanted = [_count(importance, fraction) for importance in importances]
    room = [0] * len(importances)
    left = most
    by_size = sorted(range(len(importances)), key=lambda i: wanted[i])
    for place, i in enumerate(by_size):
        fair = left // (len(by_size) - place)
        room[i] = max(1, min(wanted[i], fair))
        left -= room[i]
    chosen = []
    for importance, count in zip(importances, room, strict=True):
        taken = torch.zeros(importance.numel(), dtype=torch.bool)
        taken[importance.flatten().cpu().argsort(descending=True, stable=True)[:count]] = True
        chosen.append(taken.view(importance.shape))
    return chosen


def connected(chosen: Sequence[Tensor]) -> list[Tensor]:
    """Those of the chosen edges that are on a path of them from an input to an output.

    Args:
        chosen: Masks ``(out, in)`` of the layers; returned as they are if there is no such path.
    """
    kept, reached = [], torch.ones(chosen[0].shape[1], dtype=torch.bool)
    for mask in chosen:
        kept.append(mask & reached)
        reached = kept[-1].any(1)
    for i in reversed(range(len(kept) - 1)):
        kept[i] &= kept[i + 1].any(0).unsqueeze(1)
    return kept if reached.any() else list(chosen)


def _count(importance: Tensor, fraction: float) -> int:
    """Number of the most important edges that hold a fraction of the layer's importance."""
    if fraction == 1 or not bool(importance.any()):
        return importance.numel()
    held = importance.flatten().sort(descending=True).values.cumsum(0) / importance.sum()
    return int((held < fraction).sum()) + 1


def opacities(importance: Tensor) -> Array:
    """Opacity of each edge of a layer, up to 1, by the square root of its importance.

    Args:
        importance: ``(out, in)``.
    """
    values = as_array(importance)
    return FAINTEST + (1 - FAINTEST) * (values / (values.max() or 1.0)) ** 0.5
