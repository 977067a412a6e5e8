"""The density by which splines approximate best, read off the splines themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from kanlit.adaptation.density.base import ImportanceContext, ImportanceDensity
from kanlit.bases import spline_coefficients
from kanlit.errors import ConfigurationError
from kanlit.nn import KANLayer

__all__ = ["DeBoorDensity"]

# Relative error that refits leave in coefficients, measured on polynomials of degree 1 to 5 and
# grids up to G = 12: some units in the last place, and in float64 what the mass matrix costs,
# whose condition grows with the degree.
_ULPS, _REFIT_ERROR, _GROWTH = 4, 1e-17, 40.0


class DeBoorDensity(ImportanceDensity):
    r"""Knots as splines of degree k approximate best with: de Boor's NEWNOT, layer by layer.

    The error of the best spline on an interval of width h goes like ``h^(k+1) |φ^(k+1)|``, so the
    intervals that share it evenly have the density

    .. math:: \rho(x) = \Big(\frac{g(x)}{\bar g} + \varepsilon\Big)^{1/(k+1)}, \qquad
              g(x) \approx \sum_q |\varphi^{(k+1)}_{qp}(x)|

    with ḡ the mean of g over the grid. A spline has no derivative of order k+1, but its k-th is
    a constant a_j on the interval [t_j, t_{j+1}), whose jumps ``J_j = |a_j - a_{j-1}|`` at the
    breakpoints inside the grid tell it:

    .. math:: g = \frac{J_j}{t_{j+1} - t_{j-1}} + \frac{J_{j+1}}{t_{j+2} - t_j}
              \quad \text{on } [t_j, t_{j+1}),

    on the first and the last interval twice the one jump that they have. Jumps no larger than
    rounding and refits make them count as none. (In float32 fine grids have no others: on
    [-1, 1] those of degree 3 from about G = 100 on, of degree 5 from about 40.) A layer's base
    branch r·silu(x) is left out: it is there whatever the knots are, so they have only the rest
    to follow. Curves of other bases count as the nearest splines on the same knots.

    ρ is a density in x, wherever the samples lie. Each sample therefore stands for the x that are
    nearer to it than to any other, its cell, and weighs

    .. math:: w_j = \int_{\mathrm{cell}_j} \rho(x)\,dx

    (equal samples share theirs), so that the weighted quantiles cut the integral of ρ itself into
    equal parts. Beyond the old grid ρ goes on as on its end intervals. A feature whose splines
    are single polynomials, or that has one interval only, says nothing: its samples count alike.

    Args:
        epsilon: ε, at least 0, as a share of the mean of g; the larger, the more even in x.

    Raises:
        ConfigurationError: An epsilon out of its range.

    Source: C. de Boor, A Practical Guide to Splines, chapter XII (NEWNOT, there for one function;
    the sum over the outputs and ε are kanlit's).
    """

    def __init__(self, epsilon: float = 1e-6) -> None:
        if not 0 <= epsilon < float("inf"):
            raise ConfigurationError(f"epsilon must be at least 0, got {epsilon}")
        self.epsilon = epsilon

    def __call__(self, context: ImportanceContext) -> Tensor:
        layer, samples = context.layer, context.layer_input.detach()
        breakpoints = layer.breakpoints.double()
        size = _next_derivative(layer)
        mean = (size * breakpoints.diff(dim=1)).sum(1) / (breakpoints[:, -1] - breakpoints[:, 0])
        told = (mean != 0).unsqueeze(1)  # NaN tells, too: it is to be seen, not hidden
        relative = size / torch.where(told, mean.unsqueeze(1), 1.0) + self.epsilon
        density = torch.where(told, relative ** (1 / (layer.spline_order + 1)), 0.0)
        masses = _cell_masses(breakpoints, density, samples.T.double(), context.order)
        total = masses.sum(1, keepdim=True)
        share = masses / torch.where(total != 0, total, 1.0)
        return (share * samples.shape[0]).T.to(samples.dtype)


@torch.no_grad()
def _next_derivative(layer: KANLayer) -> Tensor:
    r"""g, the size of the derivative of order k+1 on each interval, ``(in, G)``, in float64.

    The coefficients of a spline's derivative are differences of its own,

    .. math:: c'_i = d\,\frac{c_i - c_{i-1}}{t_{i+d} - t_i}

    on splines of degree d-1, so that k times over they are its k-th derivative on each interval
    (de Boor, chapter X).
    """
    k, knots = layer.spline_order, layer.knots.double()
    if layer.grid_size == 1:
        return knots.new_zeros(layer.in_features, 1)
    values = (layer.edge_scale.unsqueeze(-1) * layer.coefficients).double()  # (out, in, G+k)
    values = spline_coefficients(values, layer.exact_basis, knots, k)
    # What an error of the coefficients can become on the same way.
    eps = torch.finfo(layer.coefficients.dtype).eps
    noise = (_ULPS * eps + _REFIT_ERROR * _GROWTH**k) * values.abs()
    count = values.shape[-1]
    for i in range(1, k + 1):
        degree = k + 1 - i
        factor = degree / (knots[:, k + 1 : count + degree] - knots[:, i:count])
        values = factor * values.diff(dim=-1)
        noise = factor * (noise[..., 1:] + noise[..., :-1])
    jumps = values.diff(dim=-1).abs() - noise[..., 1:] - noise[..., :-1]  # (out, in, G-1)
    breakpoints = layer.breakpoints.double()
    slopes = jumps.clamp(min=0).sum(0) / (breakpoints[:, 2:] - breakpoints[:, :-2])
    left = torch.cat([slopes[:, :1], slopes], dim=1)
    right = torch.cat([slopes, slopes[:, -1:]], dim=1)
    return left + right


def _cell_masses(breakpoints: Tensor, density: Tensor, samples: Tensor, order: Tensor) -> Tensor:
    """Integrals of a density over the samples' cells.

    Args:
        breakpoints: ``(in, G+1)``.
        density: Its value on each interval ``(in, G)``; those at the ends go on beyond the grid.
        samples: ``(in, n)``; their range is what the cells share out.
        order: ``(in, n)``, their numbers in rising order.

    Returns:
        ``(in, n)``; equal samples have equal parts of their cell.
    """
    columns = samples.gather(1, order)
    middles = (columns[:, 1:] + columns[:, :-1]) / 2
    edges = torch.cat([columns[:, :1], middles, columns[:, -1:]], dim=1)
    interval = torch.searchsorted(breakpoints[:, 1:-1].contiguous(), edges, right=True)
    steps = density * breakpoints.diff(dim=1)
    below = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(1)], dim=1)
    past = edges - breakpoints.gather(1, interval)
    integral = below.gather(1, interval) + density.gather(1, interval) * past
    masses = integral.diff(dim=1).clamp(min=0)  # rounding only
    new = torch.cat([torch.zeros_like(columns[:, :1]), columns.diff(dim=1)], dim=1) != 0
    cell = new.cumsum(1)  # the number of each sample's cell, the same for equal samples
    total = torch.zeros_like(masses).scatter_add(1, cell, masses)
    count = torch.zeros_like(masses).scatter_add(1, cell, torch.ones_like(masses))
    shared = (total / count.clamp(min=1)).gather(1, cell)
    return torch.empty_like(shared).scatter(1, order, shared)
