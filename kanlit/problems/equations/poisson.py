"""The Poisson equation on a square, whose solution is a peak."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kanlit.problems.conditions import Condition, dirichlet
from kanlit.problems.equations.base import Equation
from kanlit.problems.equations.checks import check_between

__all__ = ["Poisson"]


@dataclass(frozen=True)
class Poisson(Equation):
    """The equation ``-(u_xx + u_yy) = f`` on ``[0, 1]²`` with the solution's values around it.

    The exact solution is the peak ``u = exp(-α ((x - ½)² + (y - ½)²))``, so that
    ``f = (4α - 4α² ((x - ½)² + (y - ½)²)) u``.

    Attributes:
        sharpness: α, from 0.01 to 1e5; the peak is some ``1/√α`` wide.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Mitchell, Appl. Math. Comput. 220 (2013), problem "peak".
    """

    sharpness: float = 50.0

    coordinates = ("x", "y")
    bounds = ((0.0, 1.0), (0.0, 1.0))

    def __post_init__(self) -> None:
        check_between("sharpness", self.sharpness, 0.01, 1e5, 50.0)

    def residual(self, u_xx: Tensor, u_yy: Tensor, source: Tensor) -> Tensor:
        """``u_xx + u_yy + f`` ``(n, 1)``."""
        return u_xx + u_yy + source

    def conditions(self) -> list[Condition]:
        """``u`` is the solution on all four sides."""
        return [dirichlet("boundary", {"x": "both", "y": "both"}, self.solution)]

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
