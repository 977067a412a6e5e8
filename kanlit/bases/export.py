"""Sums of basis functions as modules that ONNX and torch.export support."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kanlit.splines import evaluate_pieces

if TYPE_CHECKING:
    from kanlit.bases.base import Basis
    from kanlit.bases.bspline import BSplineBasis

__all__ = ["BasisSum", "PieceSum"]


class BasisSum(nn.Module):
    r"""Maps ``(n, in)`` to the sums :math:`\sum_p \sum_i c_{qpi} B_i(x_p)`, ``(n, out)``.

    Args:
        basis: Its tensors become buffers.
        coefficients: c ``(out, in, count)``, in the dtype of the basis.
    """

    coefficients: Tensor

    def __init__(self, basis: Basis, coefficients: Tensor) -> None:
        super().__init__()
        self._basis = basis
        for name, tensor in basis.tensors().items():
            self.register_buffer(name, tensor.clone())
        self.register_buffer("coefficients", coefficients.transpose(1, 2).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in)`` to ``(n, out)``."""
        basis = self._basis.with_tensors(
            {name: getattr(self, name) for name in self._basis.tensors()}
        )
        values = basis.evaluate(basis.locate(x.T), 0)
        return (self.coefficients @ values.flatten(0, 1)).T


class PieceSum(nn.Module):
    r"""The same for B-splines, by the polynomials of the interval of each point.

    .. math:: \sum_p \sum_{m=0}^{k} a_{p j_p m q}\,u_p^m, \qquad j_p = \#\{l : x_p \ge b_{pl}\}

    with u the local coordinate of x_p in its piece j_p. The piece is found by counting because
    ONNX has no searchsorted. Layers whose polynomials would be large sum the basis functions
    instead.

    Args:
        basis: In float64.
        coefficients: ``(out, in, G+k)``, in the dtype of the module.
    """

    breakpoints: Tensor
    origin: Tensor
    inverse_width: Tensor
    polynomials: Tensor
    start: Tensor
    local: Tensor
    coefficients: Tensor

    def __init__(self, basis: BSplineBasis, coefficients: Tensor) -> None:
        super().__init__()
        dtype, exact = coefficients.dtype, basis.pieces
        pieces = exact.cast(dtype)
        features, count = pieces.origin.shape
        outputs, self.bases = coefficients.shape[0], basis.count
        grid_size = basis.breakpoints.shape[1] - 1
        # Polynomials need k+1 numbers per edge and piece, coefficients one per edge and function.
        self.sums_bases = basis.prefers_product(grid_size, outputs, derivatives=True)
        polynomials = exact.polynomials  # (in, P, k+1, r)
        put = self.register_buffer
        if self.sums_bases:
            put("local", basis.local.repeat(features, 1))
            put("coefficients", coefficients.permute(1, 2, 0).flatten(0, 1))  # (in·(G+k), out)
        else:
            polynomials = torch.einsum(
                "ipmr,oipr->ipmo", polynomials, coefficients.double()[:, :, basis.local]
            )
        put("breakpoints", pieces.breakpoints)
        put("origin", pieces.origin.flatten())
        put("inverse_width", pieces.inverse_width.flatten())
        put("polynomials", polynomials.flatten(0, 1).to(dtype))  # (in·P, k+1, r or out)
        put("start", count * torch.arange(features, device=basis.local.device))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in)`` to ``(n, out)``."""
        piece = (x.unsqueeze(-1) >= self.breakpoints).sum(-1)
        row = piece + self.start
        inverse_width = self.inverse_width[row]
        u = (x - self.origin[row]) * inverse_width
        local = evaluate_pieces(
            self.polynomials[row].movedim(2, 0), u.unsqueeze(-1), inverse_width
        )  # (n, in, r or out)
        if not self.sums_bases:
            return local.sum(1)
        empty = torch.zeros(*x.shape, self.bases, dtype=x.dtype, device=x.device)
        return empty.scatter(2, self.local[row], local).flatten(1) @ self.coefficients
