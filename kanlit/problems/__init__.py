"""Target functions and differential equations, built-in and custom."""

from kanlit.problems.boundary_value_problem import BoundaryValueProblem
from kanlit.problems.conditions import Condition, dirichlet, neumann, periodic
from kanlit.problems.equations import (
    AllenCahn,
    Burgers,
    Equation,
    Helmholtz,
    Poisson,
    ReactionDiffusion,
)
from kanlit.problems.expression import Expression
from kanlit.problems.functions import (
    FEYNMAN,
    SYNTHETIC,
    Bounds,
    TargetFunction,
    grid_points,
    uniform_points,
)

__all__ = [
    "FEYNMAN",
    "SYNTHETIC",
    "AllenCahn",
    "BoundaryValueProblem",
    "Bounds",
    "Burgers",
    "Condition",
    "Equation",
    "Expression",
    "Helmholtz",
    "Poisson",
    "ReactionDiffusion",
    "TargetFunction",
    "dirichlet",
    "grid_points",
    "neumann",
    "periodic",
    "uniform_points",
]
