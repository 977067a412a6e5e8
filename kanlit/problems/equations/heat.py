"""The heat equation on a rod whose ends are kept at zero."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from kanlit.problems.conditions import Condition, dirichlet
from kanlit.problems.equations.checks import check_between
from kanlit.problems.equations.exact import ExactOrSoft, Manner

__all__ = ["Heat"]


@dataclass(frozen=True, init=False)
class Heat(ExactOrSoft):
    """The equation ``u_t = D u_xx`` for x and t in ``[0, 1]``, with ``u = 0`` at both ends.

    It starts from ``u = sin(πx) + ½ sin(4πx)``. The exact solution is
    ``u = exp(-Dπ²t) sin(πx) + ½ exp(-16Dπ²t) sin(4πx)``.

    Args:
        diffusivity: D, from 1e-4 to 10.
        conditions: exact, by the ansatz ``u = sin(πx) + ½ sin(4πx) + t x (1 - x) N``, or soft.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Evans, Partial Differential Equations, 2nd edition (2010), section 4.1.
    """

    diffusivity: float

    coordinates = ("x", "t")
    bounds = ((0.0, 1.0), (0.0, 1.0))

    def __init__(self, diffusivity: float = 0.05, conditions: Manner = "exact") -> None:
        super().__init__(conditions, diffusivity=diffusivity)
        check_between("diffusivity", self.diffusivity, 1e-4, 10.0, 0.05)

    def residual(self, u_t: Tensor, u_xx: Tensor) -> Tensor:
        """``u_t - D u_xx`` ``(n, 1)``."""
        return u_t - self.diffusivity * u_xx

    def conditions(self) -> list[Condition]:
        """0 at the ends, and the solution at t = 0."""
        return [
            dirichlet("walls", {"x": "both"}, exact=self.is_exact),
            dirichlet("initial", {"t": "low"}, self.solution, exact=self.is_exact),
        ]

    def exact_form(self, u: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """``sin(πx) + ½ sin(4πx) + t x (1 - x) N`` ``(n, 1)``."""
        return torch.sin(pi * x) + torch.sin(4 * pi * x) / 2 + t * x * (1 - x) * u

    def solution(self, points: Tensor) -> Tensor:
        """``u`` ``(n, 1)`` at points ``(n, 2)``."""
        x, t = points.split(1, 1)
        x, decay = pi * x, torch.exp(-self.diffusivity * pi**2 * t)
        return decay * torch.sin(x) + decay**16 * torch.sin(4 * x) / 2
