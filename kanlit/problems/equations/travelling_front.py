"""Reaction and diffusion in one dimension, with a front for the exact solution."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from kanlit.problems.conditions import Condition, dirichlet
from kanlit.problems.equations.base import Equation
from kanlit.problems.equations.checks import check_between

__all__ = ["TravellingFront"]


@dataclass(frozen=True)
class TravellingFront(Equation):
    """An equation ``u_t = D u_xx + r f(u)`` for x in ``[-1, 1]`` and t in ``[0, 1]``.

    Initial and boundary values are those of the exact solution, a front.

    Attributes:
        diffusivity: D, from 1e-4 to 10.
        rate: r, from 0.01 to 100.

    Raises:
        ConfigurationError: If an argument is out of range.
    """

    diffusivity: float = 0.01
    rate: float = 5.0

    coordinates = ("x", "t")
    bounds = ((-1.0, 1.0), (0.0, 1.0))

    def __post_init__(self) -> None:
        check_between("diffusivity", self.diffusivity, 1e-4, 10.0, 0.01)
        check_between("rate", self.rate, 0.01, 100.0, 5.0)

    def conditions(self) -> list[Condition]:
        """The solution's values at the walls and at t = 0."""
        return [
            dirichlet("walls", {"x": "both"}, self.solution),
            dirichlet("initial", {"t": "low"}, self.solution),
        ]

    @abstractmethod
    def solution(self, points: Tensor) -> Tensor:
        """``u`` ``(n, 1)`` at points ``(n, 2)``."""
