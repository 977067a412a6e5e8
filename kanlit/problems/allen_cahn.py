"""The Allen-Cahn equation, with a front that travels."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from kanlit.problems.checks import check_between
from kanlit.problems.condition import Condition, dirichlet
from kanlit.problems.equation import Equation

__all__ = ["AllenCahn"]


@dataclass(frozen=True)
class AllenCahn(Equation):
    """The equation ``u_t = D u_xx + r (u - u³)`` for x in ``[-1, 1]`` and t in ``[0, 1]``.

    It starts from, and has at its walls the values of, the front that is its exact solution,
    ``u = ½ (1 - tanh(ξ))``, ``ξ = √(r / 8D) (x + ½ - c t)``, which travels at
    ``c = 3 √(r D / 2)``.

    Attributes:
        diffusivity: D, from 1e-4 to 10.
        rate: r, from 0.01 to 100.

    Raises:
        ConfigurationError: An argument out of its range.

    Source: Wazwaz, Appl. Math. Comput. 188 (2007), the tanh method.
    """

    diffusivity: float = 0.01
    rate: float = 5.0

    coordinates = ("x", "t")
    bounds = ((-1.0, 1.0), (0.0, 1.0))

    def __post_init__(self) -> None:
        check_between("diffusivity", self.diffusivity, 1e-4, 10.0, 0.01)
        check_between("rate", self.rate, 0.01, 100.0, 5.0)

    def residual(self, u: Tensor, u_t: Tensor, u_xx: Tensor) -> Tensor:
        """``u_t - D u_xx - r (u - u³)`` ``(n, 1)``."""
        return u_t - self.diffusivity * u_xx - self.rate * (u - u**3)

    def conditions(self) -> list[Condition]:
        """The solution's values at the walls and at t = 0."""
        return [
            dirichlet("walls", {"x": "both"}, self.solution),
            dirichlet("initial", {"t": "low"}, self.solution),
        ]

    def solution(self, points: Tensor) -> Tensor:
        """``u`` ``(n, 1)`` at points ``(n, 2)``."""
        x, t = points.split(1, 1)
        speed = 3 * sqrt(self.rate * self.diffusivity / 2)
        steepness = sqrt(self.rate / (8 * self.diffusivity))
        return (1 - torch.tanh(steepness * (x + 0.5 - speed * t))) / 2
