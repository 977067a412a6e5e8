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
from kanlit.chain_rule import Along, chain_factors
from kanlit.nn.elementary import silu_derivatives

__all__ = ["Edges"]


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
        self, value: Tensor, streams: Tensor, alongs: Sequence[Along], dense: bool
    ) -> tuple[Tensor, Tensor]:
        """:meth:`forward` and its derivatives, see :meth:`kanlit.nn.KANLayer.sweep`.

        Args:
            value: x ``(in, n)``.
            streams: ``(S, in, n)``.
            alongs: S multi-indices.
            dense: See the class.

        Returns:
            ``(out, n)`` and ``(S, out, n)``.
        """
        place = self.basis.locate(value)
        orders = range(max(map(len, alongs)) + 1)
        base = silu_derivatives(value, orders[-1])
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

        own = dict(zip(alongs, streams.unbind(0), strict=True))

        def derivative(along: Along) -> Tensor:
            first, *others = (contract(m, p) for m, p in chain_factors(along, own).items())
            return sum(others, first)

        return (
            contract(0, None) + self.bias.unsqueeze(1),
            torch.stack([derivative(along) for along in alongs]),
        )

    def functions(self, x: Tensor, derivative: int) -> Tensor:
        """The function of each edge, or a derivative of it: ``(out, in, n)``."""
        (curves,) = self.basis.curves(self._scaled(), self.basis.locate(x), [derivative])
        base = silu_derivatives(x, derivative)[derivative]
        return curves + self.base_weight.unsqueeze(-1) * base
