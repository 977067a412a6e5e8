"""The Allen-Cahn equation, whose field separates into two phases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kanlit.problems.conditions import Condition, derivative
from kanlit.problems.equations.checks import check_between
from kanlit.problems.equations.exact import ExactOrSoft, Manner
from kanlit.problems.equations.periodic_evolution import PeriodicEvolution
from kanlit.problems.equations.spectral import Complex, PeriodicReference, integrate, wavenumbers

__all__ = ["AllenCahn"]

_ONSET = 1e-4  # time after which the layer has formed


@dataclass(frozen=True, init=False)
class AllenCahn(ExactOrSoft, PeriodicEvolution):
    r"""The equation ``u_t = D u_xx + r (u - u³)`` for x in ``[-1, 1]`` and t in ``[0, 1]``.

    It starts from ``u = x² cos(πx)`` and is periodic in x, so that the initial field has a kink at
    x = ±1. The reference has 2048 Fourier modes, which start from the exact coefficients of the
    initial field, and 1000 steps of ETDRK4. From t = 0.01 it agrees with 4096 modes and 2000
    steps to 4e-10; before, next to the kink, to 2e-4.

    Near ``x = 0`` and the fronts the field grows by ``exp(rt)``, and so do its errors.
    With exact conditions the ansatz is therefore the solution Φ without diffusion from a start v
    that the network corrects,

    .. math:: u = \Phi(v, t) = \frac{v}{\sqrt{v^2 + (1 - v^2)\, e^{-2rt}}}, \qquad
              v = x^2 \cos(\pi x) + K(x, t) + \frac{t}{50}\, N(x^2, t),

    with the layer K of linear diffusion at the kinks. The residual is divided by ∂Φ/∂v, so that it
    is that of v, whose errors do not grow, and weighted by ``1 - x⁴ cos²(πx)``, since errors near
    the kinks, where the field is ±1, decay.
    Since the field is even in x, its values are periodic then, and its slopes if ``u_x = 0`` at
    x = ±1: that condition is soft, and its weight small, since the start violates it.

    Args:
        diffusivity: D, from 1e-4 to 1.
        rate: r, from 0 to 10.
        conditions: exact, by the ansatz, or soft.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Raissi, Perdikaris and Karniadakis, J. Comput. Phys. 378 (2019).
    """

    diffusivity: float
    rate: float

    bounds = ((-1.0, 1.0), (0.0, 1.0))

    def __init__(
        self, diffusivity: float = 1e-4, rate: float = 5.0, conditions: Manner = "soft"
    ) -> None:
        super().__init__(conditions, diffusivity=diffusivity, rate=rate)
        check_between("diffusivity", self.diffusivity, 1e-4, 1.0, 1e-4)
        check_between("rate", self.rate, 0.0, 10.0, 5.0)

    @property
    def periodic(self) -> Mapping[str, float]:  # type: ignore[override]
        """The period of x, if the network is to see it as a circle."""
        return {} if self.is_exact else {"x": 2.0}

    @property
    def inputs(self) -> Callable[..., Any] | None:
        """:meth:`even_inputs` if the conditions are exact, else None."""
        return self.even_inputs if self.is_exact else None

    def even_inputs(self, x: Tensor, t: Tensor) -> dict[str, Tensor]:
        """x² and t."""
        return {"x_squared": x**2, "t": t}

    def exact_form(self, u: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """``Φ(v, t)`` ``(n, 1)``."""
        start = x**2 * torch.cos(pi * x)
        v = start + self._layer(1 - x, t) + self._layer(1 + x, t) + t * u / 50
        square = v**2
        return v * (square + (1 - square) * torch.exp(-2 * self.rate * t)) ** -0.5

    def _layer(self, distance: Tensor, t: Tensor) -> Tensor:
        """What linear diffusion adds at a kink with slopes ±2, and 0 at t = 0."""
        width = 2 * torch.sqrt(self.diffusivity * (t + _ONSET))
        scaled = distance / width
        spread = width * torch.exp(-(scaled**2)) / sqrt(pi) - distance * (1 - torch.erf(scaled))
        return 2 * t / (t + _ONSET) * spread

    def conditions(self) -> list[Condition]:
        """The initial field, and no slope at the ends if the conditions are exact."""
        if not self.is_exact:
            return super().conditions()
        return [*super().conditions(), derivative("walls", {"x": "both"}, weight=1e-3)]

    def residual(self, u: Tensor, u_t: Tensor, u_xx: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """``u_t - D u_xx - r (u - u³)`` ``(n, 1)``; with exact conditions that of v, weighted."""
        found = u_t - self.diffusivity * u_xx - self.rate * (u - u**3)
        if not self.is_exact:
            return found
        decay, weight = torch.exp(-self.rate * t), 1 - self.initial(x) ** 2
        return weight * found * decay * (1 - u**2 * (1 - decay**2)) ** -1.5

    def initial(self, points: Tensor) -> Tensor:
        """``x² cos(πx)`` ``(n, 1)``."""
        x = points[:, :1]
        return x**2 * torch.cos(pi * x)

    def reference(self, modes: int = 2048, steps: int = 1000) -> PeriodicReference:
        """Computes the reference."""
        linear = self.rate - self.diffusivity * wavenumbers(modes, 2.0) ** 2

        def reaction(v: Complex) -> Complex:
            return -self.rate * np.fft.rfft(np.fft.irfft(v) ** 3)

        start = modes * _initial_coefficients(modes // 2 + 1)
        found = integrate(linear[None].astype(complex), reaction, start[None], steps, 1000)
        return PeriodicReference(found, modes, -1.0, 2.0)


def _initial_coefficients(count: int) -> Complex:
    """Fourier coefficients of x² cos(πx) on [-1, 1], with the phase at x = -1."""
    j = np.arange(1, count + 1)
    square = np.concatenate([[1 / 3], 2 * (-1.0) ** j / (pi * j) ** 2])  # of x²
    shifted = np.concatenate([[square[1]], (square[:-2] + square[2:]) / 2])
    return (shifted * (-1.0) ** np.arange(count)).astype(complex)
