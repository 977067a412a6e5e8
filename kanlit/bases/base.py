"""Abstract base class of all bases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

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
    r"""``count`` functions :math:`B_i` for each of ``in`` features, determined by its knots.

    A subclass defines how its functions are built and evaluated. Everything else that layers,
    adaptations, optimizers and exports need has a default, which a subclass may override.
    Subclasses are frozen dataclasses of tensors, built in float64 and then cast.

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
        """Builds the basis for given knots, in float64.

        Args:
            knots: ``(in, G+2k+1)``, strictly increasing.
            spline_order: k.
            outside: ``"linear"`` continues the functions by value and slope outside the grid,
                ``"zero"`` lets them fall to zero where the basis supports it.
        """

    @classmethod
    def size(cls, grid_size: int, spline_order: int) -> int:
        """Number of functions for G intervals and degree k."""
        return grid_size + spline_order

    @classmethod
    def lowest_order(cls, derivative: int, *, continuous: bool = True) -> int:
        """The lowest degree k whose derivative of this order is continuous, or merely nonzero."""
        return 1

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by attribute name."""
        return {name: t for name, t in vars(self).items() if isinstance(t, Tensor)}

    def with_tensors(self, tensors: dict[str, Tensor]) -> Self:
        """A copy with other :meth:`tensors`."""
        changed: dict[str, Any] = dict(tensors)
        return replace(self, **changed)

    def cast(self, dtype: torch.dtype) -> Self:
        """A copy in ``dtype``."""
        return self.with_tensors({name: t.to(dtype) for name, t in self.tensors().items()})

    # -- evaluation -------------------------------------------------------------------------

    @abstractmethod
    def locate(self, x: Tensor) -> Place:
        """Computes what evaluations of all orders share at points ``(in, n)``."""

    @abstractmethod
    def evaluate(self, place: Place, derivative: int) -> Tensor:
        """All functions or their derivatives of any order at located points, ``(count, in, n)``."""

    def values(self, x: Tensor, derivative: int = 0) -> Tensor:
        """All functions or their derivatives at ``(n, in)``: ``(n, in, count)`` in x's dtype."""
        basis = self.cast(x.dtype)
        return basis.evaluate(basis.locate(x.T.contiguous()), derivative).permute(2, 1, 0)

    def designs(self, x: Tensor, orders: Sequence[int]) -> list[Tensor]:
        """:meth:`values` for several derivative orders, in the dtype of the basis."""
        place = self.locate(x.T.contiguous())
        return [self.evaluate(place, order).permute(2, 1, 0) for order in orders]

    def curves(self, coefficients: Tensor, place: Place, orders: Sequence[int]) -> list[Tensor]:
        """Sums of the functions for each pair of output and input.

        Args:
            coefficients: ``(out, in, count)``.
            place: Result of :meth:`locate`.
            orders: Derivative orders.

        Returns:
            ``(out, in, n)`` per order.
        """
        return [
            torch.einsum("oib,bin->oin", coefficients, self.evaluate(place, order))
            for order in orders
        ]

    @classmethod
    def prefers_product(cls, grid_size: int, outputs: int, *, derivatives: bool) -> bool:
        """Whether a layer is faster with one product of :meth:`evaluate` than with :meth:`curves`.

        Args:
            grid_size: G.
            outputs: Number of outputs of the layer.
            derivatives: Whether derivatives are computed, too.
        """
        return True

    def quadrature(self, derivative: int = 0) -> tuple[Tensor, Tensor]:
        """Nodes and weights ``(in, m)`` for integrals of products of two functions' derivatives."""
        return gauss_legendre(self.breakpoints, _NODES)

    # -- grid changes -----------------------------------------------------------------------

    @classmethod
    def place_breakpoints(
        cls,
        breakpoints: Tensor,
        samples: Tensor,
        weights: Tensor,
        grid_size: int,
        **settings: Any,
    ) -> Tensor:
        """The new grid of an adaptation: at weighted quantiles of the samples.

        Args:
            breakpoints: The current grid ``(in, G+1)``.
            samples: ``(n, in)``, finite.
            weights: ``(n,)`` or ``(n, in)``.
            grid_size: G'.
            **settings: Those of :func:`kanlit.splines.weighted_quantile_breakpoints`.

        Returns:
            ``(in, G'+1)``.
        """
        return weighted_quantile_breakpoints(samples, weights, grid_size, **settings)

    @classmethod
    def insert_breakpoints(
        cls,
        breakpoints: Tensor,
        samples: Tensor,
        weights: Tensor,
        grid_size: int,
        **settings: Any,
    ) -> Tensor:
        """The larger grid of an extension by insertion, with the same ends.

        The settings are those of :func:`kanlit.splines.inserted_breakpoints`.
        """
        return inserted_breakpoints(breakpoints, samples, weights, grid_size, **settings)

    def project(self, coefficients: Tensor, old: Basis) -> Tensor:
        r"""L2 projection of curves in another basis onto this one over its grid.

        .. math:: \min_{c'} \int_a^b \Big(\sum_i c'_i B'_i(x) - \sum_i c_i B_i(x)\Big)^2 dx

        Solved by least squares at Gauss-Legendre nodes between all old and new breakpoints, so a
        curve that this basis can represent is unchanged.

        Args:
            coefficients: c ``(out, in, count)``.
            old: The basis of c. Both bases are in float64.

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
        # QR instead of the mass matrix, whose condition number for wide Gaussians would cost half
        # of the digits.
        orthogonal, triangle = torch.linalg.qr(design)
        solved = torch.linalg.solve_triangular(triangle, orthogonal.mT @ (curve * root), upper=True)
        return solved.permute(2, 0, 1).contiguous().to(coefficients.dtype)

    def insert(self, coefficients: Tensor, old: Basis) -> Tensor:
        """Coefficients after an insertion; exact where this basis contains the old one.

        Args:
            coefficients: ``(out, in, count)``.
            old: Their basis, of the same class, before :meth:`insert_breakpoints`.
        """
        return self.project(coefficients, old)

    def fit_to_samples(self, coefficients: Tensor, old: Basis, samples: Tensor) -> Tensor:
        """Least-squares refit on samples ``(n, in)``, as published; see :meth:`project`.

        Functions whose support contains no sample get zero coefficients: the curve is lost there.
        """
        x = samples.double()
        design, source = self.values(x).transpose(0, 1), old.values(x).transpose(0, 1)
        curve = source @ coefficients.double().permute(1, 2, 0)
        solved = least_squares(design, curve)
        return solved.permute(2, 0, 1).contiguous().to(coefficients.dtype)

    def predecessors(self, old: Basis) -> Tensor:
        """For each function, the index of the old function whose optimizer moments it inherits.

        Returns:
            ``(in, count)``. By default the same index, or the last old one where there is none.
        """
        features = self.breakpoints.shape[0]
        numbers = torch.arange(self.count, device=self.breakpoints.device)
        return numbers.clamp(max=old.count - 1).expand(features, -1)


_NODES = 8  # quadrature nodes per interval: series terms can oscillate faster than the grid spacing
