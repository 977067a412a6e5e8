"""Cells of samples: the set of x nearer to a sample than to any other."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cell_weights", "interval_sums"]


def cell_weights(breakpoints: Tensor, density: Tensor, samples: Tensor, order: Tensor) -> Tensor:
    """Weights of samples in proportion to the integrals of a density over their cells.

    Args:
        breakpoints: ``(in, G+1)``.
        density: Values on the intervals ``(in, G)``; those at the ends also hold beyond the grid.
        samples: ``(in, n)``; the cells partition their range.
        order: ``(in, n)``, indices that sort the samples.

    Returns:
        ``(n, in)``, with mean 1; equal samples get equal parts of their cell.
    """
    columns = samples.gather(1, order)
    edges = _ends(columns)
    interval = torch.searchsorted(breakpoints[:, 1:-1].contiguous(), edges, right=True)
    steps = density * breakpoints.diff(dim=1)
    below = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(1)], dim=1)
    past = edges - breakpoints.gather(1, interval)
    integral = below.gather(1, interval) + density.gather(1, interval) * past
    masses = integral.diff(dim=1).clamp(min=0)  # negative only by rounding
    new = torch.cat([torch.zeros_like(columns[:, :1]), columns.diff(dim=1)], dim=1) != 0
    cell = new.cumsum(1)  # index of each sample's cell, the same for equal samples
    sums = torch.zeros_like(masses).scatter_add(1, cell, masses)
    count = torch.zeros_like(masses).scatter_add(1, cell, torch.ones_like(masses))
    shared = (sums / count.clamp(min=1)).gather(1, cell)
    masses = torch.empty_like(shared).scatter(1, order, shared)
    total = masses.sum(1, keepdim=True)
    return (masses / torch.where(total != 0, total, 1.0) * samples.shape[1]).T


def interval_sums(breakpoints: Tensor, values: Tensor, samples: Tensor, order: Tensor) -> Tensor:
    """Sums of values of samples over the intervals of a grid, each value spread over its cell.

    Args:
        breakpoints: ``(in, G+1)``; the intervals at the ends also count what lies beyond the grid.
        values: ``(n,)``.
        samples: ``(in, n)``.
        order: ``(in, n)``, indices that sort the samples.

    Returns:
        ``(in, G)``.
    """
    ends, inner = _ends(samples.gather(1, order)), breakpoints[:, 1:-1].contiguous()
    below = values[order].cumsum(1)
    below = torch.cat([torch.zeros_like(below[:, :1]), below], dim=1)  # at the ends of the cells
    upper = torch.searchsorted(ends, inner).clamp(1, ends.shape[1] - 1)
    left, right = ends.gather(1, upper - 1), ends.gather(1, upper)
    part = ((inner - left) / torch.where(right > left, right - left, 1.0)).clamp(0, 1)
    at_inner = torch.lerp(below.gather(1, upper - 1), below.gather(1, upper), part)
    return torch.cat([below[:, :1], at_inner, below[:, -1:]], dim=1).diff(dim=1)


def _ends(columns: Tensor) -> Tensor:
    """Ends of the cells ``(in, n+1)`` of sorted samples ``(in, n)``."""
    middles = (columns[:, 1:] + columns[:, :-1]) / 2
    return torch.cat([columns[:, :1], middles, columns[:, -1:]], dim=1)
