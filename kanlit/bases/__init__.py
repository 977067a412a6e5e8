"""Bases of the univariate functions on the edges of a layer, one per file.

A custom basis is a subclass of :class:`Basis` or :class:`SmoothBasis`. Pass it as a class in
Python or by its class path in a config.
"""

from kanlit.bases.base import Basis
from kanlit.bases.bspline import BSplineBasis, spline_coefficients
from kanlit.bases.chebyshev import ChebyshevBasis
from kanlit.bases.fourier import FourierBasis
from kanlit.bases.named import BASES, BasisName, basis_class, basis_name
from kanlit.bases.radial import RadialBasis
from kanlit.bases.series import SeriesBasis
from kanlit.bases.smooth import SmoothBasis

__all__ = [
    "BASES",
    "BSplineBasis",
    "Basis",
    "BasisName",
    "ChebyshevBasis",
    "FourierBasis",
    "RadialBasis",
    "SeriesBasis",
    "SmoothBasis",
    "basis_class",
    "basis_name",
    "spline_coefficients",
]
