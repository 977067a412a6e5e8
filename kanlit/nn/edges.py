r"""The functions on the edges of a KAN layer, in plain torch.

.. math::
    \varphi_{qp}(x) = r_{qp}\,\mathrm{silu}(x) + s_{qp} \sum_i c_{qpi} B_i(x)

They run on any device and under every torch transform, and are differentiable to any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from kanlit.bases import Basis

__all__ = ["Edges", "silu_derivatives"]


def silu_derivatives(x: Tensor, highest: int = 2) -> list[Tensor]:
    r"""silu(x) = x·σ(x) and its derivatives up to order ``highest``.

    .. math:: \mathrm{silu}^{(n)} = x\,\sigma^{(n)} + n\,\sigma^{(n-1)},

    where each derivative of σ is a polynomial in σ, by :math:`\sigma' = \sigma - \sigma^2`.
    """
    sigmoid = torch.sigmoid(x)
    fall = 1 - sigmoid
    derivatives = [
        x * sigmoid,
        sigmoid * (1 + x * fall),
        sigmoid * fall * (2 + x * (fall - sigmoid)),
    ]
    lower = [0.0, 1.0, -3.0, 2.0]  # σ'' in powers of σ
    for n in range(3, highest + 1):
        upper = [0.0] * (len(lower) + 1)
        for m, factor in enumerate(lower):
            upper[m] += m * factor
            upper[m + 1 if m else 0] -= m * factor
        derivatives.append(x * _polynomial(upper, sigmoid) + n * _polynomial(lower, sigmoid))
        lower = upper
    return derivatives[: highest + 1]


def _polynomial(factors: Sequence[float], x: Tensor) -> Tensor:
    value = torch.full_like(x, factors[-1])
    for factor in reversed(factors[:-1]):
        value = value * x + factor
    return value


class Edges(NamedTuple):
    """All edges between ``in`` inputs and ``out`` outputs. Points come last in every argument.

    ``dense`` chooses how basis functions are summed: in one matrix product, or separately for
    each edge. The result is the same.

    Attributes:
        basis: The basis, in the dtype of the tensors.
        coefficients: c ``(out, in, G+k)``.
        edge_scale: s ``(out, in)``.
        base_weight: r ``(out, in)``.
        bias: b ``(out,)``.
    """

    basis: Basis
    coefficients: Tensor
    edge_scale: Tensor
    base_weight: Tensor
    bias: Tensor

    def _scaled(self) -> Tensor:
        """The coefficients times the edge scales, ``(out, in, G+k)``."""
        return self.edge_scale.unsqueeze(-1) * self.coefficients

    def _combine(self, functions: Tensor) -> Tensor:
        """Sums basis functions ``(G+k, in, n)``, weighted by the coefficients: ``(out, n)``."""
        coefficients = self._scaled().transpose(1, 2).flatten(1)
        return coefficients @ functions.flatten(0, 1)

    def forward(self, x: Tensor, dense: bool) -> Tensor:
        """Sums over the inputs, plus the bias: ``(in, n)`` to ``(out, n)``."""
        place = self.basis.locate(x)
        if dense:
            total = self._combine(self.basis.evaluate(place, 0))
        else:
            (curves,) = self.basis.curves(self._scaled(), place, [0])
            total = curves.sum(1)
        return torch.addmm(total, self.base_weight, F.silu(x)) + self.bias.unsqueeze(1)

    def sweep(
        self,
        value: Tensor,
        first: Tensor,
        second: Tensor,
        pairs: Sequence[tuple[int, int]],
        dense: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """:meth:`forward` and its derivatives, see :meth:`kanlit.nn.KANLayer.sweep`.

        Args:
            value: x ``(in, n)``.
            first: ``(D, in, n)``.
            second: ``(len(pairs), in, n)``.
            pairs: Pairs (d, e) of variables.
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
            values = [self.basis.evaluate(place, n) for n in orders]

            def contract(n: int, weight: Tensor | None) -> Tensor:
                functions, silu = values[n], base[n]
                if weight is not None:
                    functions, silu = functions * weight, silu * weight
                return self._combine(functions) + self.base_weight @ silu
        else:
            weight = self.base_weight.unsqueeze(-1)
            curves = self.basis.curves(self._scaled(), place, orders)
            edges = [torch.addcmul(curves[n], weight, base[n]) for n in orders]

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
        """The function of each edge, or a derivative of it: ``(out, in, n)``."""
        (curves,) = self.basis.curves(self._scaled(), self.basis.locate(x), [derivative])
        base = silu_derivatives(x, derivative)[derivative]
        return curves + self.base_weight.unsqueeze(-1) * base
