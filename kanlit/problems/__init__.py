"""Functions to be learnt and equations to be solved, with known answers or one's own."""

from kanlit.problems.allen_cahn import AllenCahn
from kanlit.problems.boundary_value_problem import BoundaryValueProblem
from kanlit.problems.burgers import Burgers
from kanlit.problems.condition import Condition, dirichlet, neumann, periodic
from kanlit.problems.equation import Equation
from kanlit.problems.feynman import FEYNMAN
from kanlit.problems.formula import Formula
from kanlit.problems.helmholtz import Helmholtz
from kanlit.problems.poisson import Poisson
from kanlit.problems.reaction_diffusion import ReactionDiffusion
from kanlit.problems.synthetic import SYNTHETIC
from kanlit.problems.target import Bounds, TargetFunction, grid_points, uniform_points

__all__ = [
    "FEYNMAN",
    "SYNTHETIC",
    "AllenCahn",
    "BoundaryValueProblem",
    "Bounds",
    "Burgers",
    "Condition",
    "Equation",
    "Formula",
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
