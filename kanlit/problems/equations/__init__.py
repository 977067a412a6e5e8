"""Differential equations with a known solution or a reference, one per file."""

from kanlit.problems.equations.advection import Advection
from kanlit.problems.equations.allen_cahn import AllenCahn
from kanlit.problems.equations.allen_cahn_front import AllenCahnFront
from kanlit.problems.equations.base import Equation
from kanlit.problems.equations.burgers import Burgers
from kanlit.problems.equations.cavity import Cavity
from kanlit.problems.equations.gray_scott import GrayScott
from kanlit.problems.equations.heat import Heat
from kanlit.problems.equations.helmholtz import Helmholtz
from kanlit.problems.equations.kdv import KdV
from kanlit.problems.equations.kuramoto_sivashinsky import KuramotoSivashinsky
from kanlit.problems.equations.poisson import Poisson
from kanlit.problems.equations.reaction_diffusion import ReactionDiffusion
from kanlit.problems.equations.sine_gordon import SineGordon
from kanlit.problems.equations.wave import Wave

__all__ = [
    "Advection",
    "AllenCahn",
    "AllenCahnFront",
    "Burgers",
    "Cavity",
    "Equation",
    "GrayScott",
    "Heat",
    "Helmholtz",
    "KdV",
    "KuramotoSivashinsky",
    "Poisson",
    "ReactionDiffusion",
    "SineGordon",
    "Wave",
]
