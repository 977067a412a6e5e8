"""What every basis is: functions of one variable that the edges of a layer are sums of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from kanlit.bases.export import BasisSum
from kanlit.splines import (
    Outside,
    gauss_legendre,
    inserted_breakpoints,
    least_squares,
    weighted_quantile_breakpoints,
)

__all__ = ["Basis", "Place"]

Place = tuple[Tensor, ...]


@dataclass(frozen=True)
class Basis(ABC):
    r"""``count`` functions :math:`B_i` of each of ``in`` features, made from a feature's knots.

    A member says how its functions are made and evaluated. What else layers, adaptations,
    optimizers and exports need follows from that; a member overrides what it can do better.
    Members are frozen dataclasses of tensors, made in float64 and then cast.

    Attributes:
        breakpoints: The grid ``(in, G+1)``.
        count: Number of functions.
    """

    breakpoints: Tensor
    count: int

    # -- construction -----------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def from_knots(cls, knots: Tensor, spline_order: int, outside: Outside) -> Self:
        """The functions on knots, in float64.

        Args:
            knots: ``(in, G+2k+1)``, strictly increasing.
            spline_order: k.
            outside: ``"linear"`` continues functions by value and slope outside the grid,
                ``"zero"`` lets those fade that can.
        """

    @classmethod
    def size(cls, grid_size: int, spline_order: int) -> int:
        """Number of functions for G intervals and degree k."""
        return grid_size + spline_order

    @classmethod
    def lowest_order(cls, derivative: int, *, continuous: bool = True) -> int:
        """The lowest degree k whose derivative of this order is continuous, or just not zero."""
        return 1

    def tensors(self) -> dict[str, Tensor]:
        """All tensors, by the attribute that holds them."""
        return {name: t for name, t in vars(self).items() if isinstance(t, Tensor)}

    def with_tensors(self, tensors: dict[str, Tensor]) -> Self:
        """The same functions with other :meth:`tensors`."""
        changed: dict[str, Any] = dict(tensors)
        return replace(self, **changed)

    def cast(self, dtype: torch.dtype) -> Self:
        """The same functions in ``dtype``."""
        return self.with_tensors({name: t.to(dtype) for name, t in self.tensors().items()})

    # -- evaluation -------------------------------------------------------------------------

    @abstractmethod
    def locate(self, x: Tensor) -> Place:
        """What evaluations of all orders at points ``(in, n)`` have in common."""

    @abstractmethod
    def evaluate(self, place: Place, derivative: int) -> Tensor:
        """All functions or their derivatives of any order at located points, ``(count, in, n)``."""

    def values(self, x: Tensor, derivative: int = 0) -> Tensor:
        """The same at points ``(n, in)``, in their dtype: ``(n, in, count)``."""
        basis = self.cast(x.dtype)
        return basis.evaluate(basis.locate(x.T.contiguous()), derivative).permute(2, 1, 0)

    def designs(self, x: Tensor, orders: Sequence[int]) -> list[Tensor]:
        """:meth:`values` for each of several orders of derivatives, in this basis's dtype."""
        place = self.locate(x.T.contiguous())
        return [self.evaluate(place, order).permute(2, 1, 0) for order in orders]

    def curves(self, coefficients: Tensor, place: Place, orders: Sequence[int]) -> list[Tensor]:
        """Sums of the functions, curve by curve.

        Args:
            coefficients: ``(out, in, count)``.
            place: Located points.
            orders: Orders of derivatives.

        Returns:
            For each order ``(out, in, n)``.
        """
        return [
            torch.einsum("oib,bin->oin", coefficients, self.evaluate(place, order))
            for order in orders
        ]

    @classmethod
    def prefers_product(cls, grid_size: int, outputs: int, *, derivatives: bool) -> bool:
        """Whether a layer's sums are faster as one product of :meth:`evaluate` than by curves.

        Args:
            grid_size: G.
            outputs: Number of the layer's outputs.
            derivatives: Whether derivatives are summed, too.
        """
        return True

    def quadrature(self, derivative: int = 0) -> tuple[Tensor, Tensor]:
        """Nodes and weights ``(in, m)`` for integrals of products of two derivatives."""
        return gauss_legendre(self.breakpoints, _NODES)

    def exportable(self, coefficients: Tensor) -> nn.Module:
        """A module of operations that ONNX knows: ``(n, in)`` to the sums ``(n, out)``.

        Args:
            coefficients: ``(out, in, count)``, in the dtype of the module.
        """
        return BasisSum(self.cast(coefficients.dtype), coefficients)

    # -- another grid -----------------------------------------------------------------------

    @classmethod
    def place_breakpoints(
        cls,
        breakpoints: Tensor,
        samples: Tensor,
        weights: Tensor,
        grid_size: int,
        *,
        uniform_mix: float,
        least_gap: float,
        margin: float,
        order: Tensor | None = None,
    ) -> Tensor:
        """The grid that an adaptation moves to: at weighted quantiles of the samples.

        Args:
            breakpoints: The grid as it is ``(in, G+1)``.
            samples: ``(n, in)``, finite.
            weights: ``(n,)`` or ``(n, in)``.
            grid_size: G'.
            uniform_mix: See :func:`kanlit.splines.weighted_quantile_breakpoints`.
            least_gap: Likewise.
            margin: Likewise.
            order: Likewise.

        Returns:
            ``(in, G'+1)``.
        """
        return weighted_quantile_breakpoints(
            samples,
            weights,
            grid_size,
            uniform_mix=uniform_mix,
            least_gap=least_gap,
            margin=margin,
            order=order,
        )

    @classmethod
    def insert_breakpoints(
        cls,
        breakpoints: Tensor,
        samples: Tensor,
        weights: Tensor,
        grid_size: int,
        *,
        uniform_mix: float,
        least_gap: float,
    ) -> Tensor:
        """The larger grid of an extension by insertion, between the same ends."""
        return inserted_breakpoints(
            breakpoints,
            samples,
            weights,
            grid_size,
            uniform_mix=uniform_mix,
            least_gap=least_gap,
        )

    def project(self, coefficients: Tensor, old: Basis) -> Tensor:
        r"""L2 projection of curves of another basis onto this one over its grid; no data enter.

        .. math:: \min_{c'} \int_a^b \Big(\sum_i c'_i B'_i(x) - \sum_i c_i B_i(x)\Big)^2 dx

        A least squares at Gauss-Legendre nodes between all old and new breakpoints, so that a
        curve which this basis can express stays what it is.

        Args:
            coefficients: c ``(out, in, count)``.
            old: Their basis, in float64, as this one.

        Returns:
            c' ``(out, in, count')`` in the dtype of ``coefficients``.
        """
        low, high = self.breakpoints[:, :1], self.breakpoints[:, -1:]
        cells = torch.cat([self.breakpoints, old.breakpoints], 1)
        cells = torch.maximum(torch.minimum(cells, high), low).sort(1).values
        x, weight = gauss_legendre(cells, _NODES)
        root = weight.sqrt().unsqueeze(-1)
        design = self.values(x.T).transpose(0, 1) * root  # (in, nodes, count')
        curve = old.values(x.T).transpose(0, 1) @ coefficients.double().permute(1, 2, 0)
        # By QR, not by the mass matrix: that of wide bells would cost half of the digits.
        orthogonal, triangle = torch.linalg.qr(design)
        solved = torch.linalg.solve_triangular(triangle, orthogonal.mT @ (curve * root), upper=True)
        return solved.permute(2, 0, 1).contiguous().to(coefficients.dtype)

    def insert(self, coefficients: Tensor, old: Basis) -> Tensor:
        """Coefficients after an insertion: of the same curves where this basis holds the old one.

        Args:
            coefficients: ``(out, in, count)``.
            old: Their basis, of the same class; this one is on its :meth:`insert_breakpoints`.
        """
        return self.project(coefficients, old)

    def fit_to_samples(self, coefficients: Tensor, old: Basis, samples: Tensor) -> Tensor:
        """Least squares on samples ``(n, in)``, the published refit; see :meth:`project`."""
        x = samples.double()
        design, source = self.values(x).transpose(0, 1), old.values(x).transpose(0, 1)
        curve = source @ coefficients.double().permute(1, 2, 0)
        solved = least_squares(design, curve)
        return solved.permute(2, 0, 1).contiguous().to(coefficients.dtype)

    def predecessors(self, old: Basis) -> Tensor:
        """For each function the number of the old one whose optimizer moments it takes over.

        Returns:
            ``(in, count)``; here by number, new functions follow the last old one.
        """
        features = self.breakpoints.shape[0]
        numbers = torch.arange(self.count, device=self.breakpoints.device)
        return numbers.clamp(max=old.count - 1).expand(features, -1)


_NODES = 8  # of the quadrature in an interval: terms wave more often than knots stand
