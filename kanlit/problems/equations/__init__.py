"""Differential equations with a known solution or a reference, one per file."""

from kanlit.problems.equations.allen_cahn import AllenCahn
from kanlit.problems.equations.base import Equation
from kanlit.problems.equations.burgers import Burgers
from kanlit.problems.equations.helmholtz import Helmholtz
from kanlit.problems.equations.poisson import Poisson
from kanlit.problems.equations.reaction_diffusion import ReactionDiffusion

__all__ = ["AllenCahn", "Burgers", "Equation", "Helmholtz", "Poisson", "ReactionDiffusion"]
