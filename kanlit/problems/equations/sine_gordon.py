"""The sine-Gordon equation with a breather."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from kanlit.problems.conditions import Condition, derivative, dirichlet
from kanlit.problems.equations.checks import check_between
from kanlit.problems.equations.exact import ExactOrSoft, Manner

__all__ = ["SineGordon"]


@dataclass(frozen=True, init=False)
class SineGordon(ExactOrSoft):
    """The equation ``u_tt - u_xx + sin(u) = 0`` for x in ``[-5, 5]`` and t in ``[0, 10]``.

    Values at the ends and at t = 0 are those of the exact solution, a breather at rest,
    ``u = 4 atan(m/ω · cos(ωt) / cosh(mx))``, ``m = √(1 - ω²)``.

    With exact conditions the ansatz is, with the breather b,
    ``u = b(5, t) + b(x, 0) - b(5, 0) + t² / (1 + t²) (1 - x² / 25) N``, whose factor of N stays
    between 0 and 1.

    Args:
        frequency: ω, from 0.1 to 0.99.
        conditions: exact, by the ansatz, or soft.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Ablowitz, Kaup, Newell and Segur, Phys. Rev. Lett. 30 (1973).
    """

    frequency: float

    coordinates = ("x", "t")
    bounds = ((-5.0, 5.0), (0.0, 10.0))

    def __init__(self, frequency: float = 0.5, conditions: Manner = "exact") -> None:
        super().__init__(conditions, frequency=frequency)
        check_between("frequency", self.frequency, 0.1, 0.99, 0.5)

    def residual(self, u: Tensor, u_tt: Tensor, u_xx: Tensor) -> Tensor:
        """``u_tt - u_xx + sin(u)`` ``(n, 1)``."""
        return u_tt - u_xx + torch.sin(u)

    def conditions(self) -> list[Condition]:
        """The solution at the ends and at t = 0, where it is at rest."""
        return [
            dirichlet("walls", {"x": "both"}, self.solution, exact=self.is_exact),
            dirichlet("initial", {"t": "low"}, self.solution, exact=self.is_exact),
            derivative("velocity", {"t": "low"}),
        ]

    def exact_form(self, u: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """``b(5, t) + b(x, 0) - b(5, 0) + t² / (1 + t²) (1 - x² / 25) N`` ``(n, 1)``."""
        walls, start = self._breather(0 * x + 5, t), self._breather(x, 0 * t)
        corner = self._breather(0 * x + 5, 0 * t)
        return walls + start - corner + t**2 / (1 + t**2) * (1 - x**2 / 25) * u

    def solution(self, points: Tensor) -> Tensor:
        """``u`` ``(n, 1)`` at points ``(n, 2)``."""
        return self._breather(*points.split(1, 1))

    def _breather(self, x: Tensor, t: Tensor) -> Tensor:
        mass = sqrt(1 - self.frequency**2)
        envelope = mass / self.frequency / torch.cosh(mass * x)
        return 4 * torch.atan(envelope * torch.cos(self.frequency * t))
