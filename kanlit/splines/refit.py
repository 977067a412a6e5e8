r"""Refits: B-spline coefficients of the same curve on new knots.

All computations are in float64, whatever the dtype of the coefficients.
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
]

_CHUNK_ELEMENTS = 2**23  # float64 numbers in the largest array of one chunk: 64 MiB


_reference_nodes = cache(leggauss)  # each call solves an eigenvalue problem


def gauss_legendre(breakpoints: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights ``(in, M·points)`` over the intervals of ``breakpoints``.

    Args:
        breakpoints: ``(in, M+1)``, in increasing order.
        points: Number of nodes per interval.
    """
    reference, weights = _reference_nodes(points)
    node = torch.tensor(reference, dtype=breakpoints.dtype, device=breakpoints.device)
    weight = torch.tensor(weights, dtype=breakpoints.dtype, device=breakpoints.device)
    half = breakpoints.diff(dim=1).unsqueeze(-1) / 2
    centre = (breakpoints[:, :-1] + breakpoints[:, 1:]).unsqueeze(-1) / 2
    return (centre + half * node).flatten(1), (half * weight).flatten(1)


def _solve_spd(matrix: Tensor, right: Tensor) -> Tensor:
    """Solves a symmetric positive definite system ``(in, b, b)``, scaled to a unit diagonal.

    The condition number of the scaled mass matrix of B-splines does not depend on the knots.
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
    r"""L2 projection of splines onto the splines on new knots, independent of data.

    .. math:: \min_{c'} \int \Big(\sum_i c'_i B'_i(x) - \sum_i c_i B_i(x)\Big)^2 dx

    over the new range (over both supports for ``outside="zero"``), by Gauss-Legendre quadrature
    on the union of old and new breakpoints, which is exact. The mass matrix always has full rank,
    and every rank of a distributed run gets bitwise the same result.

    Args:
        coefficients: c ``(out, in, G+k)``.
        old_knots: ``(in, G+2k+1)``.
        new_knots: ``(in, G'+2k+1)``.
        spline_order: Degree k.
        outside: How old and new splines continue outside their grids.

    Returns:
        c' ``(out, in, G'+k)`` in the dtype of ``coefficients``.
    """
    old, new = (Pieces.from_knots(knots, spline_order, outside) for knots in (old_knots, new_knots))
    return project_bases(coefficients, old, new, outside)


def project_bases(
    coefficients: Tensor, old: Pieces, new: Pieces, outside: Outside = "linear"
) -> Tensor:
    """:func:`project` for given bases in float64."""
    k = old.polynomials.shape[-1] - 1
    bases = old.breakpoints.shape[1] + new.breakpoints.shape[1] + 2 * k
    features = max(1, _CHUNK_ELEMENTS // (bases * (k + 1) * bases))
    parts = []
    for start in range(0, old.breakpoints.shape[0], features):
        rows = slice(start, start + features)
        source, target = old.slice_features(rows), new.slice_features(rows)
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


def least_squares(design: Tensor, curve: Tensor) -> Tensor:
    """Least-squares coefficients ``(in, b, out)``; minimum norm where underdetermined.

    Args:
        design: The functions at the samples ``(in, n, b)``, float64.
        curve: Values to fit ``(in, n, out)``, float64.
    """
    # n may be large but b is small: normal equations, whose eigenvalues show which directions the
    # samples determine. The others stay zero.
    scale = 1 / design.square().sum(1, keepdim=True).sqrt().mT.clamp(min=1e-150)
    scaled = design * scale.mT
    # The same tolerance suits float32: rounded coefficients and knots define another smooth
    # spline, fitted equally well. A larger one would drop directions that the samples determine.
    inverse = torch.linalg.pinv(scaled.mT @ scaled, hermitian=True, rtol=1e-13)
    return scale * (inverse @ (scaled.mT @ curve))


def nested(old: Tensor, new: Tensor, tolerance: float = 0.0) -> Tensor:
    """Whether each feature's new breakpoints contain the old ones and share their ends, ``(in,)``.

    Args:
        old: ``(in, G+1)``.
        new: ``(in, G'+1)``.
        tolerance: Allowed distance, as a fraction of the largest breakpoint.
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

    A coefficient is the blossom of its polynomial piece at the inner knots of its basis function,

    .. math:: c'_i = \sum_m a_m\, e_m(u_{i+1}, \dots, u_{i+k}) \Big/ \binom{k}{m},

    with a the coefficients in powers of u of the old curve on an interval in the support of basis
    function i, u the new knots in the coordinate of that piece and e the elementary symmetric
    polynomials (Ramshaw, *Blossoming*, 1987). The curve is unchanged inside the grid and on a
    linear continuation.

    Args:
        coefficients: ``(out, in, G+k)``.
        old_knots: ``(in, G+2k+1)``.
        new_knots: ``(in, G'+2k+1)``, G' ≥ G.
        spline_order: Degree k.
        tolerance: See :func:`nested`.

    Returns:
        ``(out, in, G'+k)`` in the dtype of ``coefficients``.

    Raises:
        ValueError: If an old breakpoint is not among the new ones, or an end has moved.
    """
    k = spline_order
    old, new = old_knots.double(), new_knots.double()
    b_old, b_new = breakpoints_of(old, k).contiguous(), breakpoints_of(new, k).contiguous()
    if not bool(nested(b_old, b_new, tolerance).all()):
        raise ValueError(
            "insert_knots needs new breakpoints that contain the old ones and have the same ends; "
            "use project if breakpoints move"
        )
    basis = Pieces.from_knots(old, k, "linear")
    count = new.shape[1] - k - 1
    # The support of basis function i is the intervals i-k … i; the middle one is the best
    # conditioned.
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
