"""The wave equation on a string with fixed ends."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from kanlit.problems.conditions import Condition, derivative, dirichlet
from kanlit.problems.equations.checks import check_between
from kanlit.problems.equations.exact import ExactOrSoft, Manner

__all__ = ["Wave"]


@dataclass(frozen=True, init=False)
class Wave(ExactOrSoft):
    """The equation ``u_tt = c² u_xx`` for x and t in ``[0, 1]``, with ``u = 0`` at both ends.

    It starts at rest from ``u = sin(πx) + ½ sin(4πx)``. The exact solution is
    ``u = sin(πx) cos(cπt) + ½ sin(4πx) cos(4cπt)``.

    With exact conditions the ansatz is, with τ = ct, ``u = sin(πx) + ½ sin(4πx)
    + sin(πx) τ² / (τ² + 0.04) N``, whose factor of N is quadratic at first, and close to 1 later.

    Args:
        speed: c, from 0.01 to 100.
        conditions: exact, by the ansatz, or soft.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Wang, Yu and Perdikaris, J. Comput. Phys. 449 (2022), section 7.3.
    """

    speed: float

    coordinates = ("x", "t")
    bounds = ((0.0, 1.0), (0.0, 1.0))

    def __init__(self, speed: float = 2.0, conditions: Manner = "exact") -> None:
        super().__init__(conditions, speed=speed)
        check_between("speed", self.speed, 0.01, 100.0, 2.0)

    def residual(self, u_tt: Tensor, u_xx: Tensor) -> Tensor:
        """``u_tt - c² u_xx`` ``(n, 1)``."""
        return u_tt - self.speed**2 * u_xx

    def conditions(self) -> list[Condition]:
        """0 at the ends; the solution's value and no velocity at t = 0."""
        return [
            dirichlet("walls", {"x": "both"}, exact=self.is_exact),
            dirichlet("initial", {"t": "low"}, self.solution, exact=self.is_exact),
            derivative("velocity", {"t": "low"}, exact=self.is_exact),
        ]

    def exact_form(self, u: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """``sin(πx) + ½ sin(4πx) + sin(πx) τ² / (τ² + 0.04) N`` ``(n, 1)``."""
        square, first = (self.speed * t) ** 2, torch.sin(pi * x)
        return first + torch.sin(4 * pi * x) / 2 + first * square / (square + 0.04) * u

    def solution(self, points: Tensor) -> Tensor:
        """``u`` ``(n, 1)`` at points ``(n, 2)``."""
        x, t = (pi * points).split(1, 1)
        slow = torch.sin(x) * torch.cos(self.speed * t)
        return slow + torch.sin(4 * x) * torch.cos(4 * self.speed * t) / 2
