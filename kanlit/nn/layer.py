"""One KAN layer: a sum of learnable univariate functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kanlit.nn.grid import AdaptiveGrid
from kanlit.nn.init import Initialization, glorot_fine_, plain_
from kanlit.splines import Outside, evaluate_pieces

__all__ = ["KANLayer"]


def _silu_derivatives(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """silu(x) = x·σ(x) with its first and second derivatives."""
    sigmoid = torch.sigmoid(x)
    fall = 1 - sigmoid
    return (
        x * sigmoid,
        sigmoid * (1 + x * fall),
        sigmoid * fall * (2 + x * (fall - sigmoid)),
    )


class KANLayer(AdaptiveGrid):
    r"""Maps ``(…, in)`` to ``(…, out)`` by one learnable function on each edge.

    .. math::
        y_q = \sum_p \varphi_{qp}(x_p) + b_q, \qquad
        \varphi_{qp}(x) = r_{qp}\,\mathrm{silu}(x) + s_{qp} \sum_i c_{qpi} B_i(x)

    Args:
        in_features: Number of inputs, at least 1.
        out_features: Number of outputs, at least 1.
        grid_size: G, intervals per input feature, at least 1.
        spline_order: k, degree of the splines, 1 to 5.
        grid_range: Ends of the first, uniform grid.
        outside: How splines go on outside the grid: ``"linear"`` by value and slope at its ends,
            ``"zero"`` fading over the exterior knots, the published setting.
        initialization: ``"glorot_fine"`` (arXiv 2601.18672) or ``"plain"``.
        generator: Source of the initial weights; the default one of torch if left out.
        device: Where the parameters live.
        dtype: Their type, float32 or float64.

    Attributes:
        knots: ``(in, G+2k+1)``, a persistent buffer.
        spline_weight: c ``(out, in, G+k)``.
        base_weight: r ``(out, in)``.
        edge_scale: s ``(out, in)``.
        bias: b ``(out,)``.

    Raises:
        ValueError: A size or a degree out of its range.

    Source: Liu et al., KAN: Kolmogorov-Arnold Networks, arXiv 2404.19756; arXiv 2601.18672.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        grid_size: int = 3,
        spline_order: int = 3,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        outside: Outside = "linear",
        initialization: Initialization = "glorot_fine",
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if initialization not in ("glorot_fine", "plain"):
            raise ValueError(
                f"initialization must be 'glorot_fine' or 'plain', got {initialization!r}"
            )
        super().__init__(
            in_features, out_features, grid_size, spline_order, grid_range, outside, device, dtype
        )
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.base_weight = nn.Parameter(torch.empty(out_features, in_features, **factory))
        self.edge_scale = nn.Parameter(torch.empty(out_features, in_features, **factory))
        self.bias = nn.Parameter(torch.empty(out_features, **factory))
        (glorot_fine_ if initialization == "glorot_fine" else plain_)(self, generator)

    # Points come last inside: (features, n), so that every step runs along memory.

    def _coefficients(self) -> Tensor:
        """The splines' coefficients with the edges' scales folded in, ``(out, in, G+k)``."""
        return self.edge_scale.unsqueeze(-1) * self.spline_weight

    def _edge_polynomials(self, row: Tensor) -> Tensor:
        """Every edge's polynomial at each point, ``(k+1, out, in, n)``.

        Coefficients become polynomials once; a point then gathers one row of each feature,
        whatever G is.
        """
        table = torch.einsum(
            "ipmr,oipr->ipmo", self._basis.polynomials, self._coefficients()[:, :, self._local]
        )
        rows = table.flatten(2).flatten(0, 1).index_select(0, row.reshape(-1))
        rows = rows.view(*row.shape, self.spline_order + 1, self.out_features)
        return rows.permute(2, 3, 0, 1).contiguous()

    def _bases(self, row: Tensor, u: Tensor, inverse_width: Tensor, derivative: int) -> Tensor:
        """All bases or their derivatives at each point, ``(G+k, in, n)``."""
        local = self._basis.local(row, u, inverse_width, derivative)
        return self._basis.scatter(row, local, self.spline_weight.shape[-1])

    def _combine(self, bases: Tensor) -> Tensor:
        """Sums ``(G+k, in, n)`` over bases and inputs with the coefficients: ``(out, n)``."""
        coefficients = self._coefficients().transpose(1, 2).flatten(1)
        return coefficients @ bases.flatten(0, 1)

    def _wide(self) -> bool:
        """Whether all bases in one matrix product beat polynomials gathered for each point.

        The gather moves (k+1)·out numbers a point and feature, the product G+k of them.
        """
        return self.out_features >= 16 and self.grid_size <= 16 * self.out_features

    def forward(self, x: Tensor) -> Tensor:
        """``(…, in)`` to ``(…, out)``, in the layer's own type.

        Autocast is left out, here and in the other evaluations: in bfloat16 a point's place in
        its interval is lost.
        """
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self.forward(x.to(self.knots.dtype))
        points = x.reshape(-1, self.in_features)
        columns = points.T.contiguous()
        row, u, inverse_width = self._basis.locate(columns)
        if self._wide():
            spline = self._combine(self._bases(row, u, inverse_width, 0))
        else:
            spline = evaluate_pieces(self._edge_polynomials(row), u, inverse_width).sum(1)
        y = torch.addmm(spline, self.base_weight, F.silu(columns)) + self.bias.unsqueeze(1)
        return y.T.reshape(*x.shape[:-1], self.out_features)

    def sweep(
        self, value: Tensor, first: Tensor, second: Tensor, pairs: Sequence[tuple[int, int]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""Carries a value and its derivatives with respect to D outer variables through.

        .. math:: h = \varphi(x), \quad h_d = \varphi'(x) x_d, \quad
                  h_{de} = \varphi''(x) x_d x_e + \varphi'(x) x_{de}

        Args:
            value: x ``(in, n)``; points come last here.
            first: Derivatives of x by each variable ``(D, in, n)``.
            second: Second derivatives of x, one for each of the ``pairs``
                ``(len(pairs), in, n)``.
            pairs: Which pairs (d, e) of variables.

        Returns:
            The same three for the layer's output, exact and differentiable in x and in the
            parameters: ``(out, n)``, ``(D, out, n)``, ``(len(pairs), out, n)``.
        """
        if torch.is_autocast_enabled(value.device.type):
            with torch.autocast(value.device.type, enabled=False):
                value, first, second = (t.to(self.knots.dtype) for t in (value, first, second))
                return self.sweep(value, first, second, pairs)
        row, u, inverse_width = self._basis.locate(value)
        base = _silu_derivatives(value)
        slopes, bends = first.unbind(0), second.unbind(0)
        products = [slopes[d] * slopes[e] for d, e in pairs]
        if self._wide():
            spline = [self._bases(row, u, inverse_width, n) for n in range(3 if pairs else 2)]

            def contract(n: int, weight: Tensor | None) -> Tensor:
                bases, silu = spline[n], base[n]
                if weight is not None:
                    bases, silu = bases * weight, silu * weight
                return self._combine(bases) + self.base_weight @ silu
        else:
            rows = self._edge_polynomials(row)
            edges = [
                torch.addcmul(
                    evaluate_pieces(rows, u, inverse_width, n),
                    self.base_weight.unsqueeze(-1),
                    base[n],
                )
                for n in range(3 if pairs else 2)
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
            else second.new_zeros(0, self.out_features, value.shape[1]),
        )

    def edge_functions(self, x: Tensor, derivative: int = 0) -> Tensor:
        r"""Every edge's function or its derivative of order 0 to 2, edge by edge.

        Args:
            x: ``(n, in)``.
            derivative: Order of the derivative.

        Returns:
            :math:`\varphi^{(d)}_{qp}(x_p)` as ``(n, in, out)``.
        """
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self.edge_functions(x.to(self.knots.dtype), derivative)
        columns = x.T.contiguous()
        row, u, inverse_width = self._basis.locate(columns)
        spline = evaluate_pieces(self._edge_polynomials(row), u, inverse_width, derivative)
        base = self.base_weight.unsqueeze(-1) * _silu_derivatives(columns)[derivative]
        return (spline + base).permute(2, 1, 0)

    def extra_repr(self) -> str:
        return (
            f"{self.in_features}, {self.out_features}, grid_size={self.grid_size}, "
            f"spline_order={self.spline_order}, outside={self.outside!r}"
        )
