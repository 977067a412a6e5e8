"""Functions with a closed form, and how to sample them."""

from kanlit.problems.functions.feynman import FEYNMAN
from kanlit.problems.functions.sharp import SHARP
from kanlit.problems.functions.synthetic import SYNTHETIC
from kanlit.problems.functions.target import Bounds, TargetFunction, grid_points, uniform_points

__all__ = [
    "FEYNMAN",
    "SHARP",
    "SYNTHETIC",
    "Bounds",
    "TargetFunction",
    "grid_points",
    "uniform_points",
]
