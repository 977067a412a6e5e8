"""Reaction and diffusion of Gray and Scott, two fields in which a pulse splits."""

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

__all__ = ["GrayScott"]

_RATE = 50.0
_WIDTH = 20.0  # of the initial pulse, exp(-20 sin²(πx/2))


@dataclass(frozen=True)
class GrayScott(PeriodicEvolution):
    """The system below for x in ``[-1, 1]`` and t in ``[0, 1]``, periodic in x::

        u_t = D u_xx - 50 u v² + F (1 - u)
        v_t = D/2 v_xx + 50 u v² - (F + K) v

    It starts from ``u = 1 - b/2``, ``v = b/4`` with the pulse ``b = exp(-20 sin²(πx/2))``. The
    reference has 256 Fourier modes and 2000 steps of ETDRK4; by default it agrees with 384 modes
    and 4000 steps to 2e-12.

    Attributes:
        diffusivity: D, from 0.005 to 1.
        feed: F, from 0 to 10.
        kill: K, from 0 to 10.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Pearson, Science 261 (1993), with time in units of 50 of his.
    """

    diffusivity: float = 0.01
    feed: float = 1.5
    kill: float = 2.75

    unknowns = ("u", "v")
    bounds = ((-1.0, 1.0), (0.0, 1.0))
    periodic: ClassVar[Mapping[str, float]] = {"x": 2.0}

    def __post_init__(self) -> None:
        check_between("diffusivity", self.diffusivity, 0.005, 1.0, 0.01)
        check_between("feed", self.feed, 0.0, 10.0, 1.5)
        check_between("kill", self.kill, 0.0, 10.0, 2.75)

    def residual(
        self, u: Tensor, v: Tensor, u_t: Tensor, v_t: Tensor, u_xx: Tensor, v_xx: Tensor
    ) -> dict[str, Tensor]:
        """Both sides' difference, ``(n, 1)`` each, as ``substrate`` and ``activator``."""
        made = _RATE * u * v**2
        return {
            "substrate": u_t - self.diffusivity * u_xx + made - self.feed * (1 - u),
            "activator": v_t - self.diffusivity / 2 * v_xx - made + (self.feed + self.kill) * v,
        }

    def initial(self, points: Tensor) -> Tensor:
        """``(1 - b/2, b/4)`` ``(n, 2)``."""
        pulse = torch.exp(-_WIDTH * torch.sin(pi / 2 * points[:, :1]).square())
        return torch.cat([1 - pulse / 2, pulse / 4], 1)

    def reference(self, modes: int = 256, steps: int = 2000) -> PeriodicReference:
        """Computes the reference."""
        x = torch.arange(modes, dtype=torch.float64).unsqueeze(1) * 2 / modes - 1
        start = np.fft.rfft(self.initial(x).T.numpy())
        decay = np.array([[self.feed], [self.feed + self.kill]])
        spread = self.diffusivity * np.array([[1.0], [0.5]])
        linear = -(spread * wavenumbers(modes, 2.0) ** 2 + decay)
        supply = np.zeros_like(start)
        supply[0, 0] = self.feed * modes

        def reaction(fields: Complex) -> Complex:
            u, v = np.fft.irfft(fields)
            made = np.fft.rfft(_RATE * u * v**2)
            return np.stack([-made, made]) + supply

        found = integrate(linear.astype(complex), reaction, start, steps, 1000)
        return PeriodicReference(found, modes, -1.0, 2.0)
