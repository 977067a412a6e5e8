"""The sine-Gordon equation with a breather."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from kanlit.problems.conditions import Condition, dirichlet, neumann
from kanlit.problems.equations.base import Equation
from kanlit.problems.equations.checks import check_between

__all__ = ["SineGordon"]


@dataclass(frozen=True)
class SineGordon(Equation):
    """The equation ``u_tt - u_xx + sin(u) = 0`` for x in ``[-5, 5]`` and t in ``[0, 10]``.

    Values at the ends and at t = 0 are those of the exact solution, a breather at rest,
    ``u = 4 atan(m/ω · cos(ωt) / cosh(mx))``, ``m = √(1 - ω²)``.

    Attributes:
        frequency: ω, from 0.1 to 0.99.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Ablowitz, Kaup, Newell and Segur, Phys. Rev. Lett. 30 (1973).
    """

    frequency: float = 0.5

    coordinates = ("x", "t")
    bounds = ((-5.0, 5.0), (0.0, 10.0))

    def __post_init__(self) -> None:
        check_between("frequency", self.frequency, 0.1, 0.99, 0.5)

    def residual(self, u: Tensor, u_tt: Tensor, u_xx: Tensor) -> Tensor:
        """``u_tt - u_xx + sin(u)`` ``(n, 1)``."""
        return u_tt - u_xx + torch.sin(u)

    def conditions(self) -> list[Condition]:
        """The solution at the ends and at t = 0, where it is at rest."""
        return [
            dirichlet("walls", {"x": "both"}, self.solution),
            dirichlet("initial", {"t": "low"}, self.solution),
            neumann("velocity", {"t": "low"}),
        ]

    def solution(self, points: Tensor) -> Tensor:
        """``u`` ``(n, 1)`` at points ``(n, 2)``."""
        x, t = points.split(1, 1)
        mass = sqrt(1 - self.frequency**2)
        envelope = mass / self.frequency / torch.cosh(mass * x)
        return 4 * torch.atan(envelope * torch.cos(self.frequency * t))
