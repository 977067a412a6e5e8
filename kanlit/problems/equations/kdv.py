"""The Korteweg-de Vries equation, in which a cosine breaks up into solitons."""

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
from kanlit.problems.equations.spectral import PeriodicReference, convection, integrate, wavenumbers

__all__ = ["KdV"]


@dataclass(frozen=True)
class KdV(PeriodicEvolution):
    """The equation ``u_t + u u_x + δ² u_xxx = 0`` for x in ``[-1, 1]`` and t in ``[0, 1]``.

    It starts from ``u = cos(πx)`` and is periodic in x. The reference has 512 Fourier modes and
    8000 steps of ETDRK4; at δ = 0.022 it agrees with 768 modes and 16,000 steps to 3e-9.

    Attributes:
        dispersion: δ, from 0.02 to 1.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Zabusky and Kruskal, Phys. Rev. Lett. 15 (1965).
    """

    dispersion: float = 0.022

    bounds = ((-1.0, 1.0), (0.0, 1.0))
    periodic: ClassVar[Mapping[str, float]] = {"x": 2.0}

    def __post_init__(self) -> None:
        check_between("dispersion", self.dispersion, 0.02, 1.0, 0.022)

    def residual(self, u: Tensor, u_t: Tensor, u_x: Tensor, u_xxx: Tensor) -> Tensor:
        """``u_t + u u_x + δ² u_xxx`` ``(n, 1)``."""
        return u_t + u * u_x + self.dispersion**2 * u_xxx

    def initial(self, points: Tensor) -> Tensor:
        """``cos(πx)`` ``(n, 1)``."""
        return torch.cos(pi * points[:, :1])

    def reference(self, modes: int = 512, steps: int = 8000) -> PeriodicReference:
        """Computes the reference."""
        k = wavenumbers(modes, 2.0)
        linear = 1j * self.dispersion**2 * k**3
        start = np.fft.rfft(-np.cos(2 * pi * np.arange(modes) / modes))
        found = integrate(linear[None], convection(k), start[None], steps, 1000)
        return PeriodicReference(found, modes, -1.0, 2.0)
