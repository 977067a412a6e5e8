"""Coefficients for another basis of the same family: the curve stays as far as it can."""

from __future__ import annotations

import torch
from torch import Tensor

from kanlit.bases.fourier import FourierBasis
from kanlit.splines import Basis, Outside, Pieces, gauss_legendre, project_bases

__all__ = ["project_curves"]

_NODES = 8  # of the quadrature in an interval: terms wave more often than knots stand


def project_curves(
    coefficients: Tensor, old: Basis, new: Basis, outside: Outside = "linear"
) -> Tensor:
    r"""L2 projection of curves onto another basis over the span of its grid; no data enter.

    .. math:: \min_{c'} \int_a^b \Big(\sum_i c'_i B'_i(x) - \sum_i c_i B_i(x)\Big)^2 dx

    Exact for splines, see :func:`kanlit.splines.project`; for Gaussians and polynomials a least
    squares at Gauss-Legendre nodes between all old and new breakpoints, so that a curve which
    the new basis can express stays what it is. Fourier series keep their terms; new ones are 0.

    Args:
        coefficients: c ``(out, in, count)``.
        old: Their basis, in float64.
        new: Another, of the same family or of splines.
        outside: How splines go on outside the grid.

    Returns:
        c' ``(out, in, count')`` in the type of ``coefficients``.
    """
    if isinstance(old, Pieces) and isinstance(new, Pieces):
        return project_bases(coefficients, old, new, outside)
    if isinstance(new, FourierBasis):
        kept = coefficients[..., : new.count]
        return torch.nn.functional.pad(kept, (0, new.count - kept.shape[-1]))
    low, high = new.breakpoints[:, :1], new.breakpoints[:, -1:]
    cells = torch.cat([new.breakpoints, old.breakpoints], 1)
    cells = torch.maximum(torch.minimum(cells, high), low).sort(1).values
    x, weight = gauss_legendre(cells, _NODES)
    root = weight.sqrt().unsqueeze(-1)
    design = new.values(x.T).transpose(0, 1) * root  # (in, nodes, count')
    curve = old.values(x.T).transpose(0, 1) @ coefficients.double().permute(1, 2, 0)
    # By QR, not by the mass matrix: that of wide bells would cost half of the digits.
    orthogonal, triangle = torch.linalg.qr(design)
    solved = torch.linalg.solve_triangular(triangle, orthogonal.mT @ (curve * root), upper=True)
    return solved.permute(2, 0, 1).contiguous().to(coefficients.dtype)
