"""Bases of one variable beside B-splines, behind the same interface."""

from kanlit.bases.chebyshev import ChebyshevBasis
from kanlit.bases.family import FAMILIES, Family, make_basis
from kanlit.bases.fourier import FourierBasis
from kanlit.bases.radial import RadialBasis
from kanlit.bases.refit import project_curves
from kanlit.bases.smooth import SmoothBasis

__all__ = [
    "FAMILIES",
    "ChebyshevBasis",
    "Family",
    "FourierBasis",
    "RadialBasis",
    "SmoothBasis",
    "make_basis",
    "project_curves",
]
