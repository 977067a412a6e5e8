"""Target functions and differential equations, built-in and custom."""

from kanlit.problems.boundary_value_problem import BoundaryValueProblem
from kanlit.problems.conditions import Condition, derivative, dirichlet, neumann, periodic
from kanlit.problems.domains import Box, Domain, PointCloud, Polygon
from kanlit.problems.equations import (
    Advection,
    AllenCahn,
    AllenCahnFront,
    Burgers,
    Cavity,
    Equation,
    GrayScott,
    Heat,
    Helmholtz,
    KdV,
    KuramotoSivashinsky,
    Poisson,
    ReactionDiffusion,
    SineGordon,
    Wave,
)
from kanlit.problems.expression import Expression
from kanlit.problems.functions import (
    FEYNMAN,
    SHARP,
    SYNTHETIC,
    Bounds,
    TargetFunction,
    grid_points,
    uniform_points,
)
from kanlit.problems.unknown import Unknown

__all__ = [
    "FEYNMAN",
    "SHARP",
    "SYNTHETIC",
    "Advection",
    "AllenCahn",
    "AllenCahnFront",
    "BoundaryValueProblem",
    "Bounds",
    "Box",
    "Burgers",
    "Cavity",
    "Condition",
    "Domain",
    "Equation",
    "Expression",
    "GrayScott",
    "Heat",
    "Helmholtz",
    "KdV",
    "KuramotoSivashinsky",
    "PointCloud",
    "Poisson",
    "Polygon",
    "ReactionDiffusion",
    "SineGordon",
    "TargetFunction",
    "Unknown",
    "Wave",
    "derivative",
    "dirichlet",
    "grid_points",
    "neumann",
    "periodic",
    "uniform_points",
]
