"""The Poisson equation on a square, whose solution is a peak."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import torch
from torch import Tensor

from kanlit.problems.conditions import Condition, dirichlet
from kanlit.problems.equations.checks import check_between
from kanlit.problems.equations.exact import ExactOrSoft, Manner

__all__ = ["Poisson"]


@dataclass(frozen=True, init=False)
class Poisson(ExactOrSoft):
    """The equation ``-(u_xx + u_yy) = f`` on ``[0, 1]²`` with the solution's values around it.

    The exact solution is the peak ``u = exp(-α ((x - ½)² + (y - ½)²))``, so that
    ``f = (4α - 4α² ((x - ½)² + (y - ½)²)) u``.

    With exact conditions the ansatz is ``u = p₀ (p(x) + p(y) - p₀) + 16 x (1 - x) y (1 - y) N``,
    where ``p(x) = exp(-α (x - ½)²)`` and ``p₀ = p(0)``.

    Args:
        sharpness: α, from 0.01 to 1e5; the peak is some ``1/√α`` wide.
        conditions: exact, by the ansatz, or soft.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Mitchell, Appl. Math. Comput. 220 (2013), problem "peak".
    """

    sharpness: float

    coordinates = ("x", "y")
    bounds = ((0.0, 1.0), (0.0, 1.0))

    def __init__(self, sharpness: float = 50.0, conditions: Manner = "exact") -> None:
        super().__init__(conditions, sharpness=sharpness)
        check_between("sharpness", self.sharpness, 0.01, 1e5, 50.0)

    def residual(self, u_xx: Tensor, u_yy: Tensor, source: Tensor) -> Tensor:
        """``u_xx + u_yy + f`` ``(n, 1)``."""
        return u_xx + u_yy + source

    def conditions(self) -> list[Condition]:
        """``u`` is the solution on all four sides."""
        return [
            dirichlet("boundary", {"x": "both", "y": "both"}, self.solution, exact=self.is_exact)
        ]

    def exact_form(self, u: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """``p₀ (p(x) + p(y) - p₀) + 16 x (1 - x) y (1 - y) N`` ``(n, 1)``."""
        px, py = (torch.exp(-self.sharpness * (z - 0.5) ** 2) for z in (x, y))
        p0 = exp(-self.sharpness / 4)
        return p0 * (px + py - p0) + 16 * x * (1 - x) * y * (1 - y) * u

    def solution(self, points: Tensor) -> Tensor:
        """``u`` ``(n, 1)`` at points ``(n, 2)``."""
        return torch.exp(-self.sharpness * _squared_distance(points))

    def source(self, points: Tensor) -> Tensor:
        """``f`` ``(n, 1)`` at points ``(n, 2)``."""
        a = self.sharpness
        return (4 * a - 4 * a**2 * _squared_distance(points)) * self.solution(points)


def _squared_distance(points: Tensor) -> Tensor:
    """From the middle of the square, ``(n, 1)``."""
    return (points - 0.5).square().sum(1, keepdim=True)
