"""The Kuramoto-Sivashinsky equation, whose field becomes chaotic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from kanlit.problems.equations.periodic_evolution import PeriodicEvolution
from kanlit.problems.equations.spectral import PeriodicReference, convection, integrate, wavenumbers

__all__ = ["KuramotoSivashinsky"]

_A, _B, _C = 100 / 16, 100 / 16**2, 100 / 16**4


@dataclass(frozen=True)
class KuramotoSivashinsky(PeriodicEvolution):
    """The equation ``u_t + α u u_x + β u_xx + γ u_xxxx = 0``, x in ``[0, 2π]``, t in ``[0, 1]``.

    Here α = 100/16, β = 100/16², γ = 100/16⁴. It starts from ``u = cos(x) (1 + sin(x))`` and is
    periodic in x. The reference has 384 Fourier modes and 8000 steps of ETDRK4. Small differences
    grow: it agrees with 512 modes and 16,000 steps to 3e-6 (t = 1), 5e-8 (t = 0.5).

    Source: Wang, Sankaran, Wang and Perdikaris, arXiv 2308.08468, section 6.
    """

    bounds = ((0.0, 2 * pi), (0.0, 1.0))
    periodic: ClassVar[Mapping[str, float]] = {"x": 2 * pi}

    def residual(self, u: Tensor, u_t: Tensor, u_x: Tensor, u_xx: Tensor, u_xxxx: Tensor) -> Tensor:
        """``u_t + α u u_x + β u_xx + γ u_xxxx`` ``(n, 1)``."""
        return u_t + _A * u * u_x + _B * u_xx + _C * u_xxxx

    def initial(self, points: Tensor) -> Tensor:
        """``cos(x) (1 + sin(x))`` ``(n, 1)``."""
        x = points[:, :1]
        return torch.cos(x) * (1 + torch.sin(x))

    def reference(self, modes: int = 384, steps: int = 8000) -> PeriodicReference:
        """Computes the reference."""
        k = wavenumbers(modes, 2 * pi)
        x = 2 * pi * np.arange(modes) / modes
        start = np.fft.rfft(np.cos(x) * (1 + np.sin(x)))
        linear = (_B * k**2 - _C * k**4).astype(complex)
        found = integrate(linear[None], convection(k, _A), start[None], steps, 1000)
        return PeriodicReference(found, modes, 0.0, 2 * pi)
