r"""Coefficients for new knots: the curve stays, its B-spline coefficients change.

All in float64, whatever the type of the coefficients.
"""

from __future__ import annotations

from functools import cache
from math import comb

import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from kanlit.splines.knots import breakpoints_of, nearest
from kanlit.splines.pieces import Outside, Pieces

__all__ = [
    "gauss_legendre",
    "insert_knots",
    "least_squares",
    "nested",
    "project",
    "project_bases",
    "refit_on_samples",
]

_CHUNK_ELEMENTS = 2**23  # float64 numbers in the largest array of one chunk: 64 MiB


_reference_nodes = cache(leggauss)  # an eigenvalue problem each time


def gauss_legendre(breakpoints: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights ``(in, M·points)`` over the intervals of ``breakpoints``.

    Args:
        breakpoints: ``(in, M+1)``, in rising order.
        points: So many nodes in each interval.
    """
    reference, weights = _reference_nodes(points)
    node = torch.tensor(reference, dtype=breakpoints.dtype, device=breakpoints.device)
    weight = torch.tensor(weights, dtype=breakpoints.dtype, device=breakpoints.device)
    half = breakpoints.diff(dim=1).unsqueeze(-1) / 2
    centre = (breakpoints[:, :-1] + breakpoints[:, 1:]).unsqueeze(-1) / 2
    return (centre + half * node).flatten(1), (half * weight).flatten(1)


def _solve_spd(matrix: Tensor, right: Tensor) -> Tensor:
    """Solves for a symmetric positive matrix ``(in, b, b)`` scaled to a unit diagonal.

    Scaled, the mass matrix of B-splines has a condition that does not depend on the knots.
    """
    scale = matrix.diagonal(dim1=-2, dim2=-1).rsqrt().unsqueeze(-1)
    factor = torch.linalg.cholesky(scale * matrix * scale.mT)
    return scale * torch.cholesky_solve(scale * right, factor)


def project(
    coefficients: Tensor,
    old_knots: Tensor,
    new_knots: Tensor,
    spline_order: int,
    outside: Outside = "linear",
) -> Tensor:
    r"""L2 projection of splines onto the splines on new knots; no data enter.

    .. math:: \min_{c'} \int \Big(\sum_i c'_i B'_i(x) - \sum_i c_i B_i(x)\Big)^2 dx

    over the new span (over both supports for ``outside="zero"``), by Gauss-Legendre quadrature
    on the union of old and new breakpoints, which is exact. The mass matrix never loses rank,
    and every process gets the same bits.

    Args:
        coefficients: c ``(out, in, G+k)``.
        old_knots: ``(in, G+2k+1)``.
        new_knots: ``(in, G'+2k+1)``.
        spline_order: Degree k.
        outside: How the splines continue; the old ones beyond their ends too.

    Returns:
        c' ``(out, in, G'+k)`` in the type of ``coefficients``.
    """
    old, new = (Pieces.from_knots(knots, spline_order, outside) for knots in (old_knots, new_knots))
    return project_bases(coefficients, old, new, outside)


def project_bases(
    coefficients: Tensor, old: Pieces, new: Pieces, outside: Outside = "linear"
) -> Tensor:
    """:func:`project` where the bases are known already, in float64."""
    k = old.polynomials.shape[-1] - 1
    bases = old.breakpoints.shape[1] + new.breakpoints.shape[1] + 2 * k
    features = max(1, _CHUNK_ELEMENTS // (bases * (k + 1) * bases))
    parts = []
    for start in range(0, old.breakpoints.shape[0], features):
        rows = slice(start, start + features)
        source, target = old.of(rows), new.of(rows)
        low, high = target.breakpoints[:, :1], target.breakpoints[:, -1:]
        if outside == "zero":
            low = torch.minimum(source.breakpoints[:, :1], low)
            high = torch.maximum(source.breakpoints[:, -1:], high)
        cells = torch.cat([low, target.breakpoints, source.breakpoints, high], dim=1)
        cells = torch.maximum(torch.minimum(cells, high), low).sort(dim=1).values
        x, weight = gauss_legendre(cells, k + 1)
        basis = target.values(x.T).transpose(0, 1)
        curve = source.values(x.T).transpose(0, 1) @ coefficients[:, rows].double().permute(1, 2, 0)
        weighted = (basis * weight.unsqueeze(-1)).mT
        parts.append(_solve_spd(weighted @ basis, weighted @ curve))
    return torch.cat(parts).permute(2, 0, 1).contiguous().to(coefficients.dtype)


def refit_on_samples(
    samples: Tensor,
    coefficients: Tensor,
    old_knots: Tensor,
    new_knots: Tensor,
    spline_order: int,
    outside: Outside = "zero",
) -> Tensor:
    """Least squares on the samples, the published way to refit; minimum norm where it is loose.

    Args:
        samples: ``(n, in)``, the layer's inputs.
        coefficients: ``(out, in, G+k)``.
        old_knots: ``(in, G+2k+1)``.
        new_knots: ``(in, G'+2k+1)``.
        spline_order: Degree k.
        outside: How the splines continue.

    Returns:
        ``(out, in, G'+k)`` in the type of ``coefficients``. Bases that no sample touches get
        zero coefficients, so the curve is not kept where there are no samples.
    """
    old, new = (Pieces.from_knots(knots, spline_order, outside) for knots in (old_knots, new_knots))
    x = samples.double()
    curve = old.values(x).transpose(0, 1) @ coefficients.double().permute(1, 2, 0)
    solved = least_squares(new.values(x).transpose(0, 1), curve)
    return solved.permute(2, 0, 1).contiguous().to(coefficients.dtype)


def least_squares(design: Tensor, curve: Tensor) -> Tensor:
    """Coefficients ``(in, b, out)`` of least squares; minimum norm where the samples are silent.

    Args:
        design: The functions at the samples ``(in, n, b)``, float64.
        curve: What to fit ``(in, n, out)``, float64.
    """
    # The eigenvalues of the normal equations tell what the samples see; what they do not see
    # stays zero. n may be large, b is small.
    scale = 1 / design.square().sum(1, keepdim=True).sqrt().mT.clamp(min=1e-150)
    scaled = design * scale.mT
    # In float32, too: rounded coefficients and knots are those of another spline, which is smooth
    # and fitted as well. A larger bound would leave out directions that the samples do see.
    inverse = torch.linalg.pinv(scaled.mT @ scaled, hermitian=True, rtol=1e-13)
    return scale * (inverse @ (scaled.mT @ curve))


def nested(old: Tensor, new: Tensor, tolerance: float = 0.0) -> Tensor:
    """Where the new breakpoints contain the old ones and have the same ends, bool ``(in,)``.

    Args:
        old: ``(in, G+1)``.
        new: ``(in, G'+1)``.
        tolerance: How far apart two may be, as a fraction of the largest breakpoint.
    """
    near = tolerance * new.abs().amax(1, keepdim=True)
    distance = (new.gather(1, nearest(new, old)) - old).abs()
    ends = (old[:, [0, -1]] - new[:, [0, -1]]).abs()
    return (distance <= near).all(1) & (ends <= near).all(1)


def insert_knots(
    coefficients: Tensor,
    old_knots: Tensor,
    new_knots: Tensor,
    spline_order: int,
    tolerance: float = 0.0,
) -> Tensor:
    r"""Exact coefficients on knots that contain the old breakpoints and share their ends.

    A coefficient is the blossom of its polynomial piece at the basis's inner knots,

    .. math:: c'_i = \sum_m a_m\, e_m(u_{i+1}, \dots, u_{i+k}) \Big/ \binom{k}{m},

    with a the old curve's piece in powers of u on an interval that basis i covers, u the new
    knots in that piece's coordinate and e the elementary symmetric polynomials (Ramshaw,
    *Blossoming*, 1987). Inside the grid, and on a linear continuation, the curve stays the same.

    Args:
        coefficients: ``(out, in, G+k)``.
        old_knots: ``(in, G+2k+1)``.
        new_knots: ``(in, G'+2k+1)``, G' ≥ G.
        spline_order: Degree k.
        tolerance: See :func:`nested`.

    Returns:
        ``(out, in, G'+k)`` in the type of ``coefficients``.

    Raises:
        ValueError: An old breakpoint that is not among the new ones, or ends that moved.
    """
    k = spline_order
    old, new = old_knots.double(), new_knots.double()
    b_old, b_new = breakpoints_of(old, k).contiguous(), breakpoints_of(new, k).contiguous()
    if not bool(nested(b_old, b_new, tolerance).all()):
        raise ValueError(
            "insert_knots needs new breakpoints that contain the old ones between the same "
            "ends; use project for breakpoints that move"
        )
    basis = Pieces.from_knots(old, k, "linear")
    count = new.shape[1] - k - 1
    # Basis i covers the intervals i-k … i; the middle one is best conditioned.
    middle = (torch.arange(count, device=old.device) - k // 2).clamp(0, b_new.shape[1] - 2)
    centre = (b_new[:, :-1] + b_new[:, 1:])[:, middle] / 2
    piece = torch.searchsorted(b_old, centre.contiguous(), right=True)
    offsets = torch.arange(k + 1, device=old.device)
    feature = torch.arange(old.shape[0], device=old.device).unsqueeze(1)
    source = coefficients.double()[:, feature.unsqueeze(-1), basis.first[piece, None] + offsets]
    powers = torch.einsum("pimr,opir->opim", basis.polynomials[feature, piece], source)
    inner = new.unfold(1, k, 1)[:, 1 : count + 1]
    u = (inner - basis.origin[feature, piece].unsqueeze(-1)) * basis.inverse_width[
        feature, piece
    ].unsqueeze(-1)
    symmetric = [torch.ones_like(u[..., 0])] + [torch.zeros_like(u[..., 0])] * k
    for place in range(k):
        for m in range(place + 1, 0, -1):
            symmetric[m] = symmetric[m] + u[..., place] * symmetric[m - 1]
    blossom = torch.stack([e / comb(k, m) for m, e in enumerate(symmetric)], dim=-1)
    return torch.einsum("opim,pim->opi", powers, blossom).to(coefficients.dtype)
