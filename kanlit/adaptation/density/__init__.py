"""Importance density functions (IDFs): the weights of samples in knot placement."""

from kanlit.adaptation.density.base import (
    ImportanceContext,
    ImportanceDensity,
    Scope,
    Weigher,
)
from kanlit.adaptation.density.blended import BlendedDensity
from kanlit.adaptation.density.curvature import CurvatureDensity
from kanlit.adaptation.density.de_boor import DeBoorDensity
from kanlit.adaptation.density.error import ErrorDensity
from kanlit.adaptation.density.gradient import GradientDensity
from kanlit.adaptation.density.input import InputDensity
from kanlit.adaptation.density.loss import LossDensity

__all__ = [
    "BlendedDensity",
    "CurvatureDensity",
    "DeBoorDensity",
    "ErrorDensity",
    "GradientDensity",
    "ImportanceContext",
    "ImportanceDensity",
    "InputDensity",
    "LossDensity",
    "Scope",
    "Weigher",
]
