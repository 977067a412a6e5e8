"""The Allen-Cahn equation, whose field separates into two phases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from kanlit.problems.equations.checks import check_between
from kanlit.problems.equations.periodic_evolution import PeriodicEvolution
from kanlit.problems.equations.spectral import Complex, PeriodicReference, integrate, wavenumbers

__all__ = ["AllenCahn"]


@dataclass(frozen=True)
class AllenCahn(PeriodicEvolution):
    """The equation ``u_t = D u_xx + r (u - u³)`` for x in ``[-1, 1]`` and t in ``[0, 1]``.

    It starts from ``u = x² cos(πx)`` and is periodic in x, so that the initial field has a kink at
    x = ±1. The reference has 2048 Fourier modes, which start from the exact coefficients of the
    initial field, and 1000 steps of ETDRK4. From t = 0.01 it agrees with 4096 modes and 2000
    steps to 4e-10; before, next to the kink, to 2e-4.

    Attributes:
        diffusivity: D, from 1e-4 to 1.
        rate: r, from 0 to 10.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Raissi, Perdikaris and Karniadakis, J. Comput. Phys. 378 (2019).
    """

    diffusivity: float = 1e-4
    rate: float = 5.0

    bounds = ((-1.0, 1.0), (0.0, 1.0))
    periodic: ClassVar[Mapping[str, float]] = {"x": 2.0}

    def __post_init__(self) -> None:
        check_between("diffusivity", self.diffusivity, 1e-4, 1.0, 1e-4)
        check_between("rate", self.rate, 0.0, 10.0, 5.0)

    def residual(self, u: Tensor, u_t: Tensor, u_xx: Tensor) -> Tensor:
        """``u_t - D u_xx - r (u - u³)`` ``(n, 1)``."""
        return u_t - self.diffusivity * u_xx - self.rate * (u - u**3)

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
