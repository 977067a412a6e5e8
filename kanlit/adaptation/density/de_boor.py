"""The density for optimal spline approximation, estimated from the splines themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from kanlit.adaptation.density.base import ImportanceContext, ImportanceDensity
from kanlit.adaptation.density.cells import cell_weights
from kanlit.bases import spline_coefficients
from kanlit.errors import check_at_least
from kanlit.nn import KANLayer

__all__ = ["DeBoorDensity"]

# Relative error of refitted coefficients, measured on polynomials of degree 1 to 5 and grids up to
# G = 12: a few units in the last place, plus in float64 the error of solving with the mass matrix,
# whose condition number grows with the degree.
_ULPS, _REFIT_ERROR, _GROWTH = 4, 1e-17, 40.0


class DeBoorDensity(ImportanceDensity):
    r"""Knots for the best approximation by splines of degree k: de Boor's NEWNOT for each layer.

    The error of the best spline on an interval of width h scales as ``h^(k+1) |φ^(k+1)|``. The
    error is equidistributed over the intervals if they have the density

    .. math:: \rho(x) = \Big(\frac{g(x)}{\bar g} + \varepsilon\Big)^{1/(k+1)}, \qquad
              g(x) \approx \sum_q |\varphi^{(k+1)}_{qp}(x)|

    with ḡ the mean of g over the grid. A spline has no derivative of order k+1, but its k-th
    derivative is a constant a_j on the interval [t_j, t_{j+1}). The jumps
    ``J_j = |a_j - a_{j-1}|`` at the interior breakpoints give the estimate

    .. math:: g = \frac{J_j}{t_{j+1} - t_{j-1}} + \frac{J_{j+1}}{t_{j+2} - t_j}
              \quad \text{on } [t_j, t_{j+1}),

    and on the first and last interval twice their single jump. Jumps that rounding or refits can
    cause are ignored. (In float32 this affects all jumps of fine grids: on [-1, 1] from about
    G = 100 for degree 3, and from about 40 for degree 5.) The base branch r·silu(x) of a layer does
    not depend on the knots and is left out. Curves in other bases are first approximated by splines
    on the same knots.

    ρ is a density in x, independent of the distribution of the samples. Each sample represents its
    cell, the set of x nearer to it than to any other sample, and gets the weight

    .. math:: w_j = \int_{\mathrm{cell}_j} \rho(x)\,dx

    (equal samples divide the weight of their cell). The weighted quantiles then divide the integral
    of ρ into equal parts. ρ is extended beyond the old grid by its values on the end intervals.
    If the splines of a feature are single polynomials, its samples are weighted equally.

    Args:
        epsilon: ε, at least 0, as a fraction of the mean of g; larger is more uniform in x.

    Raises:
        ConfigurationError: If epsilon is out of range.

    Source: C. de Boor, A Practical Guide to Splines, chapter XII (NEWNOT for one function, without
    the sum over outputs and ε).
    """

    def __init__(self, epsilon: float = 1e-6) -> None:
        check_at_least("epsilon", epsilon, 0)
        self.epsilon = epsilon

    def __call__(self, context: ImportanceContext) -> Tensor:
        layer, samples = context.layer, context.layer_input.detach()
        breakpoints = layer.breakpoints.double()
        size = _next_derivative(layer)
        mean = (size * breakpoints.diff(dim=1)).sum(1) / (breakpoints[:, -1] - breakpoints[:, 0])
        known = (mean != 0).unsqueeze(1)  # True for NaN, too, so that it is not hidden
        relative = size / torch.where(known, mean.unsqueeze(1), 1.0) + self.epsilon
        density = torch.where(known, relative ** (1 / (layer.spline_order + 1)), 0.0)
        weights = cell_weights(breakpoints, density, samples.T.double(), context.order)
        return weights.to(samples.dtype)


@torch.no_grad()
def _next_derivative(layer: KANLayer) -> Tensor:
    r"""g, the magnitude of the derivative of order k+1 on each interval, ``(in, G)``, in float64.

    The coefficients of the derivative of a spline of degree d are

    .. math:: c'_i = d\,\frac{c_i - c_{i-1}}{t_{i+d} - t_i}

    for splines of degree d-1. Applied k times, they give the k-th derivative on each interval (de
    Boor, chapter X).
    """
    k, knots = layer.spline_order, layer.knots.double()
    if layer.grid_size == 1:
        return knots.new_zeros(layer.in_features, 1)
    values = (layer.edge_scale.unsqueeze(-1) * layer.coefficients).double()  # (out, in, G+k)
    values = spline_coefficients(values, layer.exact_basis, knots, k)
    # Propagate a bound on the error of the coefficients in the same way.
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
