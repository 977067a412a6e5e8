r"""Where the knots go: uniform, at weighted quantiles, blended, never closer than a least gap.

Words: a feature's grid has G *intervals* between G+1 *breakpoints*; the *knots* are the
breakpoints with k exterior ones on both sides, G+2k+1 in all, for splines of degree k.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "Exterior",
    "breakpoints_of",
    "enforce_least_gap",
    "extend_breakpoints",
    "greville",
    "inserted_breakpoints",
    "nearest",
    "sorted_order",
    "uniform_breakpoints",
    "weighted_quantile",
    "weighted_quantile_breakpoints",
]

Exterior = Literal["end", "uniform"]


def uniform_breakpoints(low: Tensor, high: Tensor, grid_size: int) -> Tensor:
    """``(in, G+1)`` equally spaced breakpoints from ``low`` ``(in,)`` to ``high`` ``(in,)``."""
    share = torch.linspace(0, 1, grid_size + 1, dtype=low.dtype, device=low.device)
    # lerp meets both ends exactly, low + share * (high - low) does not.
    return torch.lerp(low.unsqueeze(1), high.unsqueeze(1), share)


def extend_breakpoints(
    breakpoints: Tensor, spline_order: int, exterior: Exterior = "end"
) -> Tensor:
    """Adds k exterior knots on both sides of ``breakpoints`` ``(in, G+1)``: ``(in, G+2k+1)``.

    Args:
        breakpoints: Strictly increasing along the last axis.
        spline_order: Degree k.
        exterior: ``"end"`` repeats the width of the end interval, which keeps the mass matrix
            of the bases well conditioned for any breakpoints. ``"uniform"`` steps by
            (range)/G, the published setting (arXiv 2601.18672).
    """
    steps = torch.arange(1, spline_order + 1, dtype=breakpoints.dtype, device=breakpoints.device)
    if exterior == "end":
        left = breakpoints[:, 1:2] - breakpoints[:, :1]
        right = breakpoints[:, -1:] - breakpoints[:, -2:-1]
    else:
        left = (breakpoints[:, -1:] - breakpoints[:, :1]) / (breakpoints.shape[1] - 1)
        right = left
    return torch.cat(
        [
            breakpoints[:, :1] - left * steps.flip(0),
            breakpoints,
            breakpoints[:, -1:] + right * steps,
        ],
        dim=1,
    )


def breakpoints_of(knots: Tensor, spline_order: int) -> Tensor:
    """The G+1 breakpoints inside ``knots`` ``(in, G+2k+1)``."""
    return knots[:, spline_order : knots.shape[1] - spline_order]


def greville(knots: Tensor, spline_order: int) -> Tensor:
    """Where each B-spline on ``knots`` stands: the mean of its k inner knots, ``(in, G+k)``."""
    return knots.unfold(1, spline_order, 1)[:, 1:-1].mean(-1)


def nearest(places: Tensor, points: Tensor) -> Tensor:
    """For each of the points ``(in, m)`` the number of the place ``(in, n)`` nearest to it.

    Args:
        places: In rising order, two at least.
        points: Of the same dtype.
    """
    upper = torch.searchsorted(places.contiguous(), points.contiguous())
    upper = upper.clamp(1, places.shape[1] - 1)
    nearer = points - places.gather(1, upper - 1) < places.gather(1, upper) - points
    return upper - nearer.to(upper.dtype)


def sorted_order(samples: Tensor) -> Tensor:
    """The numbers of the samples ``(n, in)`` in rising order, column by column: ``(in, n)``."""
    columns = samples.detach().T.contiguous()
    if columns.is_cpu and columns.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(np.argsort(columns.numpy(), axis=1))  # twice as fast as torch's
    return columns.argsort(dim=1)


def _weighted_distribution(
    samples: Tensor, weights: Tensor, order: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Each column's samples in order and the running sum of their weights, both ``(in, n)``."""
    if not bool(torch.isfinite(samples).all()):
        raise ValueError("samples hold NaN or infinite values")
    if not bool((torch.isfinite(weights) & (weights >= 0)).all()):
        raise ValueError("importance weights must be finite and not negative")
    order = sorted_order(samples) if order is None else order
    columns = samples.T.gather(1, order)
    mass = weights if weights.ndim == 2 else weights.unsqueeze(1).expand_as(samples)
    # float64, and scaled to a largest weight of one, so that the sums neither overflow nor
    # lose the small weights behind the large.
    mass = mass.T.gather(1, order).double()
    peak = mass.amax(1, keepdim=True)
    mass = torch.where(peak > 0, mass / torch.where(peak > 0, peak, 1.0), 1.0)
    return columns, mass.cumsum(1)


def weighted_quantile(
    samples: Tensor, weights: Tensor, levels: Tensor, order: Tensor | None = None
) -> Tensor:
    r"""Generalised inverse of the weighted empirical distribution, column by column.

    .. math:: F(t) = \sum_{x_j \le t} w_j \Big/ \sum_j w_j, \qquad
              F^{-1}(q) = \min \{x_j : F(x_j) \ge q\}

    Args:
        samples: ``(n, in)``.
        weights: ``(n,)``, or ``(n, in)`` for weights of each column's own; not negative. A
            column whose weights are all zero is taken as equally weighted.
        levels: ``(m,)``, each in (0, 1].
        order: Of the samples, see :func:`sorted_order`; sorted here where left out.

    Returns:
        ``(in, m)``, every entry one of the column's samples.

    Raises:
        ValueError: Samples or weights that are not finite, or negative weights.

    Example:
        >>> x = torch.tensor([[0.1], [0.5], [0.9]])
        >>> weighted_quantile(x, torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.5]))
        tensor([[0.1000]])
    """
    columns, cumulated = _weighted_distribution(samples, weights, order)
    wanted = levels.double() * cumulated[:, -1:]
    # A sum rounded up must not push a level past the sample that reaches it.
    wanted = wanted * (1 - 4 * torch.finfo(torch.float64).eps)
    index = torch.searchsorted(cumulated, wanted.contiguous()).clamp(max=columns.shape[1] - 1)
    return columns.gather(1, index)


def enforce_least_gap(breakpoints: Tensor, gap: Tensor) -> Tensor:
    r"""The breakpoints nearest to the given ones, in the largest move, with no gap under ``gap``.

    The ends stay. With :math:`z_m = b_m - m\,\delta` gaps of at least δ mean that z does not
    fall, and the mean of z's running maximum from the left and running minimum from the right
    is the nearest such sequence in the maximum norm (isotonic regression).

    Args:
        breakpoints: ``(in, G+1)``, not decreasing.
        gap: δ ``(in, 1)``, at most (range)/G.
    """
    count = breakpoints.shape[1]
    offsets = gap * torch.arange(count, dtype=breakpoints.dtype, device=breakpoints.device)
    low, high = breakpoints[:, :1], breakpoints[:, -1:]
    shifted = (breakpoints - offsets).clamp(min=low, max=high - offsets[:, -1:])
    rising = shifted.cummax(1).values
    falling = shifted.flip(1).cummin(1).values.flip(1)
    spaced = (rising + falling) / 2 + offsets
    return torch.cat([low, spaced[:, 1:-1], high], dim=1)


def _span(samples: Tensor, margin: float, grid_size: int, eps: float) -> tuple[Tensor, Tensor]:
    """Range of each column widened by ``margin`` on each side, wide enough for ``grid_size``."""
    low, high = samples.amin(0), samples.amax(0)
    width = high - low
    low, high = low - margin * width, high + margin * width
    # Steps have to stay representable beside the size of the values, in the knots' own type. A
    # feature that does not vary says nothing about its scale but its size: half of it each way.
    scale = torch.maximum(low.abs(), high.abs())
    scale = torch.where(scale > 0, scale, 1.0)
    narrow = (high - low) < 64 * grid_size * eps * scale
    least = 64 * grid_size * eps
    half = torch.where(width > 0, least, max(0.5, least)) * scale
    centre = (low + high) / 2
    return torch.where(narrow, centre - half, low), torch.where(narrow, centre + half, high)


def weighted_quantile_breakpoints(
    samples: Tensor,
    weights: Tensor | None,
    grid_size: int,
    *,
    uniform_mix: float = 0.0,
    least_gap: float = 0.01,
    margin: float = 0.01,
    order: Tensor | None = None,
) -> Tensor:
    r"""Breakpoints at the weighted quantiles of the samples (arXiv 2601.18672).

    .. math:: b_m = e\,u_m + (1 - e)\,F^{-1}(m/G), \qquad m = 1 \dots G-1

    with u the uniform breakpoints, F the weighted empirical distribution of the feature and e
    the ``uniform_mix``; the two ends are the range of the samples widened by ``margin``.

    Args:
        samples: ``(n, in)``, finite.
        weights: ``(n,)`` or ``(n, in)``, finite and not negative; ``None`` is equal weights.
        grid_size: G, at least 1.
        uniform_mix: e in [0, 1].
        least_gap: Least distance of neighbours as a share of (range)/G, in (0, 1].
        margin: Widening at each end as a share of the range, at least 0.
        order: Of the samples, see :func:`sorted_order`; sorted here where left out.

    Returns:
        ``(in, G+1)`` in the samples' type, strictly increasing whatever the samples are: ties, a
        constant feature (its span is then half its size each way), spiked or all-zero weights,
        fewer samples than intervals.

    Raises:
        ValueError: A setting out of its range, no samples, or values that are not finite.
    """
    if grid_size < 1:
        raise ValueError(f"grid_size must be at least 1, got {grid_size}")
    if not 0 <= uniform_mix <= 1:
        raise ValueError(f"uniform_mix must lie in [0, 1], got {uniform_mix}")
    if not 0 < least_gap <= 1:
        raise ValueError(f"least_gap must lie in (0, 1], got {least_gap}")
    if not (margin >= 0 and margin < float("inf")):
        raise ValueError(f"margin must be at least 0, got {margin}")
    if samples.ndim != 2 or samples.shape[0] == 0:
        raise ValueError(f"samples must be (n, in) with n > 0, got {tuple(samples.shape)}")
    if weights is None:
        weights = samples.new_ones(samples.shape[0])
    eps = torch.finfo(samples.dtype).eps
    points = samples.double()
    levels = torch.arange(1, grid_size, dtype=torch.float64, device=samples.device) / grid_size
    inner = weighted_quantile(points, weights, levels, order)
    low, high = _span(points, margin, grid_size, eps)
    # The ends are rounded first, so that no later rounding moves a breakpoint past them.
    low, high = low.to(samples.dtype).double(), high.to(samples.dtype).double()
    uniform = uniform_breakpoints(low, high, grid_size)
    inner = torch.maximum(torch.minimum(inner, high.unsqueeze(1)), low.unsqueeze(1))
    quantile = torch.cat([low.unsqueeze(1), inner, high.unsqueeze(1)], dim=1)
    blended = torch.lerp(quantile, uniform, uniform_mix)
    scale = torch.maximum(low.abs(), high.abs())
    step = (high - low) / grid_size
    # Under a gap of a few units in the last place neighbours would round to the same number.
    gap = torch.minimum(torch.maximum(least_gap * step, 8 * eps * scale), step)
    breakpoints = enforce_least_gap(blended, gap.unsqueeze(1)).to(samples.dtype)
    if not bool((torch.isfinite(breakpoints[:, -1]) & (breakpoints.diff(dim=1) > 0).all(1)).all()):
        raise ValueError(f"samples lie at the ends of what {samples.dtype} holds: scale them")
    return breakpoints


def inserted_breakpoints(
    breakpoints: Tensor,
    samples: Tensor,
    weights: Tensor | None,
    grid_size: int,
    *,
    uniform_mix: float = 0.0,
    least_gap: float = 0.01,
) -> Tensor:
    r"""Adds breakpoints to a grid that keeps those it has, where the importance mass is.

    One at a time: of the intervals wide enough to be halved, the one of largest mass

    .. math:: (1 - e) \int_{t_j}^{t_{j+1}} dF + e\, \frac{t_{j+1} - t_j}{b - a}

    is halved, with F the weighted empirical distribution and e the ``uniform_mix``.

    Args:
        breakpoints: The grid ``(in, G+1)``.
        samples: ``(n, in)``, finite.
        weights: ``(n,)`` or ``(n, in)``, finite and not negative; ``None`` is equal weights.
        grid_size: G' > G.
        uniform_mix: e in [0, 1].
        least_gap: No half is narrower than this share of (range)/G', if it can be had.

    Returns:
        ``(in, G'+1)``, strictly increasing; every entry of ``breakpoints`` is in it, unchanged.

    Raises:
        ValueError: G' not above G, values that are not finite, or intervals so narrow that their
            type holds no number between their ends.
    """
    count = breakpoints.shape[1] - 1
    if grid_size <= count:
        raise ValueError(f"grid_size must grow past {count} to insert knots, got {grid_size}")
    if weights is None:
        weights = samples.new_ones(samples.shape[0])
    columns, cumulated = _weighted_distribution(samples.double(), weights)
    share = torch.cat([torch.zeros_like(cumulated[:, :1]), cumulated / cumulated[:, -1:]], dim=1)
    grid = breakpoints.double()
    low, span = grid[:, :1].clone(), grid[:, -1:] - grid[:, :1]
    # Under a gap of a few units in the last place neighbours would round to the same number.
    rounding = 8 * torch.finfo(breakpoints.dtype).eps * grid.abs().amax(1, keepdim=True)
    gap = torch.maximum(least_gap * span / grid_size, rounding)
    for _ in range(grid_size - count):
        below = torch.searchsorted(columns, grid.contiguous(), right=True)
        mass = (1 - uniform_mix) * share.gather(1, below) + uniform_mix * (grid - low) / span
        # Equal masses go to the wider interval; samples all in one place leave the rest empty.
        width = grid.diff(dim=1)
        merit = torch.where(width >= 2 * gap, mass.diff(dim=1) + 1e-9 * width / span, -1.0)
        merit = torch.where(merit.amax(1, keepdim=True) < 0, width, merit)
        best = merit.argmax(1, keepdim=True)
        middle = (grid.gather(1, best) + grid.gather(1, best + 1)) / 2
        middle = middle.to(breakpoints.dtype).double()
        grid = torch.cat([grid, middle], dim=1).sort(dim=1).values
    if not bool((grid.diff(dim=1) > 0).all()):
        raise ValueError(
            f"{breakpoints.dtype} holds no {grid_size - 1} numbers between the grid's ends that "
            f"halve its intervals: standardise the inputs or extend by replace"
        )
    return grid.to(breakpoints.dtype)
