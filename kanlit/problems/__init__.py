"""Problems with a known answer: functions to be learnt and equations to be solved."""

from kanlit.problems.feynman import FEYNMAN
from kanlit.problems.helmholtz import Helmholtz
from kanlit.problems.synthetic import SYNTHETIC
from kanlit.problems.target import Bounds, TargetFunction, grid_points, uniform_points

__all__ = [
    "FEYNMAN",
    "SYNTHETIC",
    "Bounds",
    "Helmholtz",
    "TargetFunction",
    "grid_points",
    "uniform_points",
]
