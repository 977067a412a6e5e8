"""The Allen-Cahn equation with a travelling front."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from kanlit.problems.equations.travelling_front import TravellingFront

__all__ = ["AllenCahnFront"]


@dataclass(frozen=True)
class AllenCahnFront(TravellingFront):
    """The equation ``u_t = D u_xx + r (u - u³)`` for x in ``[-1, 1]`` and t in ``[0, 1]``.

    Initial and boundary values are those of the exact solution, the front
    ``u = ½ (1 - tanh(ξ))``, ``ξ = √(r / 8D) (x + ½ - c t)``, which travels at
    ``c = 3 √(r D / 2)``.

    Attributes:
        diffusivity: D, from 1e-4 to 10.
        rate: r, from 0.01 to 100.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Wazwaz, Appl. Math. Comput. 188 (2007), the tanh method.
    """

    def residual(self, u: Tensor, u_t: Tensor, u_xx: Tensor) -> Tensor:
        """``u_t - D u_xx - r (u - u³)`` ``(n, 1)``."""
        return u_t - self.diffusivity * u_xx - self.rate * (u - u**3)

    def solution(self, points: Tensor) -> Tensor:
        """``u`` ``(n, 1)`` at points ``(n, 2)``."""
        x, t = points.split(1, 1)
        speed = 3 * sqrt(self.rate * self.diffusivity / 2)
        steepness = sqrt(self.rate / (8 * self.diffusivity))
        return (1 - torch.tanh(steepness * (x + 0.5 - speed * t))) / 2
