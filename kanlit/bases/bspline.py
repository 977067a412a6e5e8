"""B-splines, the basis that the compiled kernel supports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from kanlit.bases.base import Basis, Place
from kanlit.splines import (
    Outside,
    Pieces,
    breakpoints_of,
    evaluate_pieces,
    gauss_legendre,
    greville,
    insert_knots,
    nearest,
    nested,
    project_bases,
)

__all__ = ["BSplineBasis", "spline_coefficients"]


@dataclass(frozen=True)
class BSplineBasis(Basis):
    """B-splines of degree k, each given by polynomials on the intervals between the knots.

    Attributes:
        knots: ``(in, G+2k+1)``.
        pieces: The polynomials.
        local: ``(P, k+1)``, indices of the functions that are nonzero on each piece.
        outside: How the functions continue outside the grid.

    Source: C. de Boor, A Practical Guide to Splines, chapters IX to XI.
    """

    knots: Tensor
    pieces: Pieces
    local: Tensor
    outside: Outside

    @classmethod
    def from_knots(cls, knots: Tensor, spline_order: int, outside: Outside) -> Self:
        t = knots.double()
        pieces = Pieces.from_knots(t, spline_order, outside)
        local = pieces.first.unsqueeze(1) + torch.arange(spline_order + 1, device=t.device)
        count = t.shape[1] - spline_order - 1
        return cls(breakpoints_of(t, spline_order), count, t, pieces, local, outside)

    @classmethod
    def lowest_order(cls, derivative: int, *, continuous: bool = True) -> int:
        return max(1, derivative + 1 if continuous else derivative)

    @property
    def order(self) -> int:
        """The degree k."""
        return self.local.shape[1] - 1

    def cast(self, dtype: torch.dtype) -> Self:
        return replace(
            self,
            breakpoints=self.breakpoints.to(dtype),
            knots=self.knots.to(dtype),
            pieces=self.pieces.cast(dtype),
        )

    # -- evaluation -------------------------------------------------------------------------

    def locate(self, x: Tensor) -> Place:
        return self.pieces.locate(x)

    def evaluate(self, place: Place, derivative: int) -> Tensor:
        row, u, inverse_width = place
        local = self.pieces.local(row, u, inverse_width, derivative)
        return self.pieces.scatter(row, local, self.count)

    def designs(self, x: Tensor, orders: Sequence[int]) -> list[Tensor]:
        row, u, inverse_width = self.locate(x.T.contiguous())
        polynomials = self.pieces.local_polynomials(row)
        places = self.local.repeat(x.shape[1], 1)[row].transpose(0, 1)
        designs = []
        for order in orders:
            local = evaluate_pieces(polynomials, u, inverse_width, order).permute(2, 1, 0)
            designs.append(x.new_zeros(*x.shape, self.count).scatter_(2, places, local))
        return designs

    def curves(self, coefficients: Tensor, place: Place, orders: Sequence[int]) -> list[Tensor]:
        row, u, inverse_width = place
        polynomials = self._polynomials(coefficients, row)
        return [evaluate_pieces(polynomials, u, inverse_width, order) for order in orders]

    def _polynomials(self, coefficients: Tensor, row: Tensor) -> Tensor:
        """The polynomial of every curve at each point, ``(k+1, out, in, n)``.

        Coefficients are converted to polynomials once; each point then gathers one row per feature.
        """
        table = torch.einsum(
            "ipmr,oipr->ipmo", self.pieces.polynomials, coefficients[:, :, self.local]
        )
        terms, outputs = table.shape[2:]
        rows = table.flatten(2).flatten(0, 1).index_select(0, row.reshape(-1))
        return rows.view(*row.shape, terms, outputs).permute(2, 3, 0, 1).contiguous()

    @classmethod
    def prefers_product(cls, grid_size: int, outputs: int, *, derivatives: bool) -> bool:
        """Compares (k+1)·out numbers per point and feature for the gather with G+k for a product.

        With ``derivatives`` each order needs a product of its own. The break-even points were
        measured on layers of 2 to 256 inputs.
        """
        if derivatives:
            return outputs >= 16 and grid_size <= 16 * outputs
        return outputs > 1 and grid_size <= 6 * outputs

    def quadrature(self, derivative: int = 0) -> tuple[Tensor, Tensor]:
        """Exact: the product of two functions has degree 2k, that of derivatives less."""
        return gauss_legendre(self.breakpoints, self.order if derivative else self.order + 1)

    # -- grid changes -----------------------------------------------------------------------

    def project(self, coefficients: Tensor, old: Basis) -> Tensor:
        """Exact inside the grid where the new splines can represent the curve.

        See :func:`kanlit.splines.project`. With ``outside="zero"``, splines on other exterior
        knots fall to zero differently, and the projection would spread that error into the grid.
        Features whose new breakpoints contain the old ones therefore use knot insertion.
        """
        if not isinstance(old, BSplineBasis) or old.order != self.order:
            return super().project(coefficients, old)
        fitted = project_bases(coefficients, old.pieces, self.pieces, self.outside)
        if self.outside == "zero":
            rounding = 8 * torch.finfo(coefficients.dtype).eps
            exact = nested(old.breakpoints, self.breakpoints, rounding)
            fitted[:, exact] = insert_knots(
                coefficients[:, exact], old.knots[exact], self.knots[exact], self.order, rounding
            )
        return fitted

    def insert(self, coefficients: Tensor, old: Basis) -> Tensor:
        """Exact, see :func:`kanlit.splines.insert_knots`."""
        assert isinstance(old, BSplineBasis)
        return insert_knots(coefficients, old.knots, self.knots, self.order)

    def predecessors(self, old: Basis) -> Tensor:
        """The old function with the nearest Greville abscissa."""
        assert isinstance(old, BSplineBasis)
        return nearest(greville(old.knots, old.order), greville(self.knots, self.order))


def spline_coefficients(
    coefficients: Tensor, basis: Basis, knots: Tensor, spline_order: int
) -> Tensor:
    """Coefficients ``(out, in, G+k)`` of the B-splines on ``knots`` that best fit given curves.

    Args:
        coefficients: ``(out, in, count)``.
        basis: Their basis, built from the same knots, in float64.
        knots: ``(in, G+2k+1)``.
        spline_order: k.
    """
    if isinstance(basis, BSplineBasis):
        return coefficients
    return BSplineBasis.from_knots(knots, spline_order, "linear").project(coefficients, basis)
