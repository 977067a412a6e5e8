"""Reference solutions of periodic evolution equations by Fourier modes in space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Complex", "PeriodicReference", "convection", "integrate", "wavenumbers"]

_CONTOUR = 64  # points of the circle on which the coefficients are averaged
_STENCIL = 8  # snapshots that an interpolation in time uses
_CHUNK = 2048  # points evaluated together

Complex = NDArray[np.complex128]


def wavenumbers(modes: int, period: float) -> NDArray[np.floating]:
    """``2π j / period`` of the modes ``j = 0 … modes/2`` of a real transform."""
    return 2 * pi / period * np.arange(modes // 2 + 1)


def convection(k: NDArray[np.floating], speed: float = 1.0) -> Callable[[Complex], Complex]:
    """``v -> -speed · u u_x`` on Fourier coefficients, dealiased by the two-thirds rule.

    Args:
        k: Wavenumbers, as :func:`wavenumbers` gives them.
        speed: Factor of the product.
    """
    factor = -0.5j * speed * k * (np.arange(len(k)) <= 2 * (len(k) - 1) // 3)
    return lambda v: factor * np.fft.rfft(np.fft.irfft(v) ** 2)


def integrate(
    linear: NDArray[Any],
    nonlinear: Callable[[Complex], Complex],
    start: Complex,
    steps: int,
    snapshots: int,
) -> Complex:
    """Solves ``dv/dt = L v + N(v)`` up to t = 1 for Fourier coefficients by ETDRK4 (order 4).

    Args:
        linear: L, diagonal, of the shape of the coefficients.
        nonlinear: N; it dealiases its products itself.
        start: Coefficients at t = 0.
        steps: Number of time steps, a multiple of ``snapshots``.
        snapshots: Number of equal intervals between kept coefficients.

    Returns:
        ``(snapshots + 1, *start.shape)``.

    Source: Kassam and Trefethen, SIAM J. Sci. Comput. 26 (2005), with its contour integrals.
    """
    h = 1 / steps
    # The circle must be whole: L is complex for dispersive equations.
    circle = np.exp(2j * pi * (np.arange(_CONTOUR) + 0.5) / _CONTOUR)
    z = h * linear[..., None] + circle
    e, half = np.exp(h * linear), np.exp(h * linear / 2)
    q = h * ((np.exp(z / 2) - 1) / z).mean(-1)
    f1 = h * ((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3).mean(-1)
    f2 = h * ((2 + z + np.exp(z) * (z - 2)) / z**3).mean(-1)
    f3 = h * ((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3).mean(-1)
    v, kept = start, [start]
    for step in range(1, steps + 1):
        nv = nonlinear(v)
        a = half * v + q * nv
        na = nonlinear(a)
        b = half * v + q * na
        nb = nonlinear(b)
        c = half * a + q * (2 * nb - nv)
        v = e * v + f1 * nv + 2 * f2 * (na + nb) + f3 * nonlinear(c)
        if step % (steps // snapshots) == 0:
            kept.append(v)
    return np.stack(kept)


@dataclass(frozen=True, eq=False)
class PeriodicReference:
    """A field in x and t: Fourier modes in x, polynomials of degree 7 between snapshots in t.

    Attributes:
        coefficients: ``(snapshots + 1, fields, modes/2 + 1)``, as ``numpy.fft.rfft`` gives them.
        modes: Number of points of the transform.
        low: Where x begins.
        period: Length of the x axis.
    """

    coefficients: Complex
    modes: int
    low: float
    period: float
    end: float = 1.0

    def __call__(self, points: Tensor) -> Tensor:
        """Values ``(n, fields)`` at points ``(n, 2)`` of x and t."""
        values = [self._values(part.double()) for part in points.detach().cpu().split(_CHUNK)]
        return torch.cat(values).to(points)

    def _values(self, points: Tensor) -> Tensor:
        x, t = points.numpy().T
        phase = np.exp(1j * np.outer(x - self.low, wavenumbers(self.modes, self.period)))
        phase[:, 1:] *= 2  # the modes of negative wavenumbers
        phase[:, -1] /= 2
        # Lagrange's polynomials on the snapshots around each time.
        last = len(self.coefficients) - 1
        position = t / self.end * last
        first = np.clip(np.floor(position).astype(int) - _STENCIL // 2 + 1, 0, last + 1 - _STENCIL)
        values = np.zeros((len(x), self.coefficients.shape[1]))
        for j in range(_STENCIL):
            weight = np.ones(len(x))
            for i in range(_STENCIL):
                if i != j:
                    weight *= (position - first - i) / (j - i)
            modes = self.coefficients[first + j]
            values += weight[:, None] * np.einsum("nfm,nm->nf", modes, phase).real
        return torch.from_numpy(values / self.modes)
