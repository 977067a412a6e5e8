"""Reaction and diffusion of Fisher, Kolmogorov, Petrovsky and Piskunov, with a travelling wave."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from kanlit.problems.equations.travelling_front import TravellingFront

__all__ = ["ReactionDiffusion"]


@dataclass(frozen=True)
class ReactionDiffusion(TravellingFront):
    """The Fisher-KPP equation ``u_t = D u_xx + r u (1 - u)``, x in ``[-1, 1]``, t in ``[0, 1]``.

    Initial and boundary values are those of the exact solution, the wave
    ``u = (1 + exp(ξ))⁻²``, ``ξ = √(r / 6D) (x + ½ - c t)``, which travels at ``c = 5 √(r D / 6)``.

    Attributes:
        diffusivity: D, from 1e-4 to 10.
        rate: r, from 0.01 to 100.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Ablowitz and Zeppetella, Bull. Math. Biol. 41 (1979).
    """

    def residual(self, u: Tensor, u_t: Tensor, u_xx: Tensor) -> Tensor:
        """``u_t - D u_xx - r u (1 - u)`` ``(n, 1)``."""
        return u_t - self.diffusivity * u_xx - self.rate * u * (1 - u)

    def solution(self, points: Tensor) -> Tensor:
        """``u`` ``(n, 1)`` at points ``(n, 2)``."""
        x, t = points.split(1, 1)
        speed = 5 * sqrt(self.rate * self.diffusivity / 6)
        steepness = sqrt(self.rate / (6 * self.diffusivity))
        # The logistic function cannot overflow, as the exponential of a far ξ does.
        return torch.sigmoid(-steepness * (x + 0.5 - speed * t)).square()
