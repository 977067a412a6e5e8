"""The bases that a layer can be made of, by name."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from kanlit.bases.chebyshev import ChebyshevBasis
from kanlit.bases.fourier import FourierBasis
from kanlit.bases.radial import RadialBasis
from kanlit.splines import Basis, Outside, Pieces

__all__ = ["FAMILIES", "Family", "make_basis"]

Family = Literal["bspline", "radial", "chebyshev", "fourier"]
FAMILIES: tuple[Family, ...] = get_args(Family)


def make_basis(family: Family, knots: Tensor, spline_order: int, outside: Outside) -> Basis:
    """The G+k functions of a family on knots, in float64.

    Args:
        family: ``"bspline"`` B-splines, ``"radial"`` Gaussians at the same places, ``"chebyshev"``
            polynomials over the grid's range, ``"fourier"`` sines and cosines.
        knots: ``(in, G+2k+1)``, strictly increasing.
        spline_order: Degree k; for others than splines it counts in their number alone, and for
            Gaussians in where they stand.
        outside: How splines and Gaussians go on outside the grid.

    Raises:
        ValueError: Another name.
    """
    if family == "bspline":
        return Pieces.from_knots(knots, spline_order, outside)
    if family == "radial":
        return RadialBasis.from_knots(knots, spline_order, outside)
    if family == "chebyshev":
        return ChebyshevBasis.from_knots(knots, spline_order)
    if family == "fourier":
        return FourierBasis.from_knots(knots, spline_order)
    raise ValueError(f"basis must be one of {', '.join(FAMILIES)}, got {family!r}")
