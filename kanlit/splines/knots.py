r"""Knot placement: uniform, at weighted quantiles, or a blend, always with a minimum gap.

The grid of a feature has G *intervals* between G+1 *breakpoints*. Its *knots* are the breakpoints
plus k exterior knots on each side, G+2k+1 in total, for splines of degree k.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from kanlit.splines.quantiles import weighted_distribution, weighted_quantile

__all__ = [
    "Exterior",
    "breakpoints_of",
    "enforce_least_gap",
    "extend_breakpoints",
    "greville",
    "inserted_breakpoints",
    "nearest",
    "uniform_breakpoints",
    "weighted_quantile_breakpoints",
]

Exterior = Literal["end", "uniform"]


def uniform_breakpoints(low: Tensor, high: Tensor, grid_size: int) -> Tensor:
    """``(in, G+1)`` equally spaced breakpoints from ``low`` ``(in,)`` to ``high`` ``(in,)``."""
    fraction = torch.linspace(0, 1, grid_size + 1, dtype=low.dtype, device=low.device)
    # lerp reproduces both ends exactly; low + fraction * (high - low) does not.
    return torch.lerp(low.unsqueeze(1), high.unsqueeze(1), fraction)


def extend_breakpoints(
    breakpoints: Tensor, spline_order: int, exterior: Exterior = "end"
) -> Tensor:
    """Adds k exterior knots on each side of ``breakpoints`` ``(in, G+1)``: ``(in, G+2k+1)``.

    Args:
        breakpoints: Strictly increasing along the last axis.
        spline_order: Degree k.
        exterior: Spacing of the exterior knots. ``"end"`` uses the width of the end interval,
            which keeps the mass matrix of the basis well conditioned for any breakpoints.
            ``"uniform"`` uses (range)/G, the published setting (arXiv 2601.18672).
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
    """Greville abscissa of each B-spline, the mean of its k inner knots: ``(in, G+k)``."""
    return knots.unfold(1, spline_order, 1)[:, 1:-1].mean(-1)


def nearest(places: Tensor, points: Tensor) -> Tensor:
    """Index of the place nearest to each point, ``(in, m)``.

    Args:
        places: ``(in, n)`` in increasing order, n at least 2.
        points: ``(in, m)`` in the same dtype.
    """
    upper = torch.searchsorted(places.contiguous(), points.contiguous())
    upper = upper.clamp(1, places.shape[1] - 1)
    nearer = points - places.gather(1, upper - 1) < places.gather(1, upper) - points
    return upper - nearer.to(upper.dtype)


def enforce_least_gap(breakpoints: Tensor, gap: Tensor) -> Tensor:
    r"""Moves breakpoints as little as possible so that no gap is below ``gap``.

    The ends stay fixed. With :math:`z_m = b_m - m\,\delta`, gaps of at least δ mean that z is
    nondecreasing. The mean of the running maximum of z from the left and its running minimum from
    the right is the nearest such sequence in the maximum norm (isotonic regression).

    Args:
        breakpoints: ``(in, G+1)``, nondecreasing.
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
    """Range of each column, widened by ``margin`` and at least wide enough for ``grid_size``."""
    low, high = samples.amin(0), samples.amax(0)
    width = high - low
    low, high = low - margin * width, high + margin * width
    # Steps must be representable next to the magnitude of the values in the dtype of the knots.
    # The only known scale of a constant feature is its magnitude: its span is half of that to
    # each side.
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
    the ``uniform_mix``. The two ends are the range of the samples widened by ``margin``.

    Args:
        samples: ``(n, in)``, finite.
        weights: ``(n,)`` or ``(n, in)``, finite and nonnegative; ``None`` means equal weights.
        grid_size: G, at least 1.
        uniform_mix: e in [0, 1].
        least_gap: Minimum distance of neighbors as a fraction of (range)/G, in (0, 1].
        margin: Widening at each end as a fraction of the range, at least 0.
        order: Result of :func:`sorted_order`; computed here if omitted.

    Returns:
        ``(in, G+1)`` in the dtype of the samples. Strictly increasing for all samples: ties, a
        constant feature (whose span is half its magnitude to each side), spiked or all-zero
        weights, fewer samples than intervals.

    Raises:
        ValueError: If a setting is out of range, there are no samples, or values are not finite.
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
    # Below a gap of a few units in the last place, neighbors would round to the same number.
    gap = torch.minimum(torch.maximum(least_gap * step, 8 * eps * scale), step)
    breakpoints = enforce_least_gap(blended, gap.unsqueeze(1)).to(samples.dtype)
    if not bool((torch.isfinite(breakpoints[:, -1]) & (breakpoints.diff(dim=1) > 0).all(1)).all()):
        raise ValueError(f"samples are too large for {samples.dtype}: rescale them")
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
    r"""Adds breakpoints where the importance mass is, and keeps the existing ones.

    Repeatedly halves, among the intervals wide enough, the one with the largest mass

    .. math:: (1 - e) \int_{t_j}^{t_{j+1}} dF + e\, \frac{t_{j+1} - t_j}{b - a}

    with F the weighted empirical distribution and e the ``uniform_mix``.

    Args:
        breakpoints: The grid ``(in, G+1)``.
        samples: ``(n, in)``, finite.
        weights: ``(n,)`` or ``(n, in)``, finite and nonnegative; ``None`` means equal weights.
        grid_size: G' > G.
        uniform_mix: e in [0, 1].
        least_gap: Minimum width of a new interval as a fraction of (range)/G', where possible.

    Returns:
        ``(in, G'+1)``, strictly increasing; contains every entry of ``breakpoints`` unchanged.

    Raises:
        ValueError: If G' is not above G, values are not finite, or intervals are so narrow that
            their dtype has no number between their ends.
    """
    count = breakpoints.shape[1] - 1
    if grid_size <= count:
        raise ValueError(f"grid_size must be above {count} to insert knots, got {grid_size}")
    if weights is None:
        weights = samples.new_ones(samples.shape[0])
    columns, cumulated = weighted_distribution(samples.double(), weights)
    total = cumulated[:, -1:]
    distribution = torch.cat([torch.zeros_like(total), cumulated / total], dim=1)
    grid = breakpoints.double()
    low, span = grid[:, :1].clone(), grid[:, -1:] - grid[:, :1]
    # Below a gap of a few units in the last place, neighbors would round to the same number.
    rounding = 8 * torch.finfo(breakpoints.dtype).eps * grid.abs().amax(1, keepdim=True)
    gap = torch.maximum(least_gap * span / grid_size, rounding)
    for _ in range(grid_size - count):
        below = torch.searchsorted(columns, grid.contiguous(), right=True)
        mass = (1 - uniform_mix) * distribution.gather(1, below)
        mass = mass + uniform_mix * (grid - low) / span
        # Ties go to the wider interval: if all samples coincide, most intervals have no mass.
        width = grid.diff(dim=1)
        merit = torch.where(width >= 2 * gap, mass.diff(dim=1) + 1e-9 * width / span, -1.0)
        merit = torch.where(merit.amax(1, keepdim=True) < 0, width, merit)
        best = merit.argmax(1, keepdim=True)
        middle = (grid.gather(1, best) + grid.gather(1, best + 1)) / 2
        middle = middle.to(breakpoints.dtype).double()
        grid = torch.cat([grid, middle], dim=1).sort(dim=1).values
    if not bool((grid.diff(dim=1) > 0).all()):
        raise ValueError(
            f"the intervals of the grid are too narrow to be halved into {grid_size} in "
            f"{breakpoints.dtype}: standardize the inputs or extend by replace"
        )
    return grid.to(breakpoints.dtype)
