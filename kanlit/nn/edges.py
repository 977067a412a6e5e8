r"""The functions on the edges of a KAN layer, in plain torch.

.. math::
    \varphi_{qp}(x) = r_{qp}\,\mathrm{silu}(x) + s_{qp} \sum_i c_{qpi} B_i(x)

They run on any device, under every transform of torch, and are differentiable to any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from kanlit.splines import Basis, Pieces, evaluate_pieces

__all__ = ["Edges", "silu_derivatives"]


def silu_derivatives(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """silu(x) = x·σ(x) with its first and second derivatives."""
    sigmoid = torch.sigmoid(x)
    fall = 1 - sigmoid
    return (
        x * sigmoid,
        sigmoid * (1 + x * fall),
        sigmoid * fall * (2 + x * (fall - sigmoid)),
    )


class Edges(NamedTuple):
    """All edges between ``in`` inputs and ``out`` outputs. Points come last in every argument.

    ``dense`` chooses how splines are summed: all bases in one matrix product, or each point's
    polynomials gathered. The sums are the same; a basis that is not piecewise has the first alone.

    Attributes:
        basis: The bases.
        local: ``(P, k+1)``, the numbers of the bases that differ from zero on each piece, for
            piecewise ones.
        coefficients: c ``(out, in, G+k)``.
        edge_scale: s ``(out, in)``.
        base_weight: r ``(out, in)``.
        bias: b ``(out,)``.
    """

    basis: Basis
    local: Tensor | None
    coefficients: Tensor
    edge_scale: Tensor
    base_weight: Tensor
    bias: Tensor

    def _coefficients(self) -> Tensor:
        """The splines' coefficients with the edges' scales folded in, ``(out, in, G+k)``."""
        return self.edge_scale.unsqueeze(-1) * self.coefficients

    def _polynomials(self, row: Tensor) -> Tensor:
        """Every edge's polynomial at each point, ``(k+1, out, in, n)``.

        Coefficients become polynomials once; a point then gathers one row of each feature,
        whatever G is.
        """
        assert isinstance(self.basis, Pieces)
        assert self.local is not None
        table = torch.einsum(
            "ipmr,oipr->ipmo", self.basis.polynomials, self._coefficients()[:, :, self.local]
        )
        terms, outputs = table.shape[2:]
        rows = table.flatten(2).flatten(0, 1).index_select(0, row.reshape(-1))
        return rows.view(*row.shape, terms, outputs).permute(2, 3, 0, 1).contiguous()

    def _bases(self, place: tuple[Tensor, ...], derivative: int) -> Tensor:
        """All bases or their derivatives at each point, ``(G+k, in, n)``."""
        return self.basis.bases(place, derivative, self.coefficients.shape[-1])

    def _combine(self, bases: Tensor) -> Tensor:
        """Sums ``(G+k, in, n)`` over bases and inputs with the coefficients: ``(out, n)``."""
        coefficients = self._coefficients().transpose(1, 2).flatten(1)
        return coefficients @ bases.flatten(0, 1)

    def forward(self, x: Tensor, dense: bool) -> Tensor:
        """The sums over the inputs and the bias: ``(in, n)`` to ``(out, n)``."""
        place = self.basis.locate(x)
        if dense:
            spline = self._combine(self._bases(place, 0))
        else:
            row, u, inverse_width = place
            spline = evaluate_pieces(self._polynomials(row), u, inverse_width).sum(1)
        return torch.addmm(spline, self.base_weight, F.silu(x)) + self.bias.unsqueeze(1)

    def sweep(
        self,
        value: Tensor,
        first: Tensor,
        second: Tensor,
        pairs: Sequence[tuple[int, int]],
        dense: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The sums and their derivatives by outer variables, see :meth:`kanlit.nn.KANLayer.sweep`.

        Args:
            value: x ``(in, n)``.
            first: ``(D, in, n)``.
            second: ``(len(pairs), in, n)``.
            pairs: Which pairs (d, e) of variables.
            dense: See the class.

        Returns:
            ``(out, n)``, ``(D, out, n)``, ``(len(pairs), out, n)``.
        """
        place = self.basis.locate(value)
        base = silu_derivatives(value)
        slopes, bends = first.unbind(0), second.unbind(0)
        products = [slopes[d] * slopes[e] for d, e in pairs]
        orders = range(3 if pairs else 2)
        if dense:
            spline = [self._bases(place, n) for n in orders]

            def contract(n: int, weight: Tensor | None) -> Tensor:
                bases, silu = spline[n], base[n]
                if weight is not None:
                    bases, silu = bases * weight, silu * weight
                return self._combine(bases) + self.base_weight @ silu
        else:
            row, u, inverse_width = place
            rows = self._polynomials(row)
            weight = self.base_weight.unsqueeze(-1)
            edges = [
                torch.addcmul(evaluate_pieces(rows, u, inverse_width, n), weight, base[n])
                for n in orders
            ]

            def contract(n: int, weight: Tensor | None) -> Tensor:
                return (edges[n] if weight is None else edges[n] * weight).sum(1)

        return (
            contract(0, None) + self.bias.unsqueeze(1),
            torch.stack([contract(1, slope) for slope in slopes]),
            torch.stack(
                [
                    contract(2, product) + contract(1, bend)
                    for product, bend in zip(products, bends, strict=True)
                ]
            )
            if pairs
            else second.new_zeros(0, self.bias.shape[0], value.shape[1]),
        )

    def functions(self, x: Tensor, derivative: int) -> Tensor:
        """Every edge's function or its derivative of order 0 to 2 by itself: ``(out, in, n)``."""
        place = self.basis.locate(x)
        if isinstance(self.basis, Pieces):
            row, u, inverse_width = place
            spline = evaluate_pieces(self._polynomials(row), u, inverse_width, derivative)
        else:
            bases = self._bases(place, derivative)
            spline = torch.einsum("oib,bin->oin", self._coefficients(), bases)
        return spline + self.base_weight.unsqueeze(-1) * silu_derivatives(x)[derivative]
