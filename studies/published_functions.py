"""Functions of the literature on computer experiments, with the ranges of their inputs.

Source: S. Surjanovic and D. Bingham, Virtual Library of Simulation Experiments, sfu.ca/~ssurjano.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["FUNCTIONS", "draw"]

Array = NDArray[np.float64]


def borehole(
    rw: Array, r: Array, tu: Array, hu: Array, tl: Array, hl: Array, length: Array, kw: Array
) -> Array:
    """Flow of water through a borehole in m³ per year."""
    log = np.log(r / rw)
    return 2 * np.pi * tu * (hu - hl) / (log + 2 * length * tu / (rw**2 * kw) + log * tu / tl)


def log_borehole(*x: Array) -> Array:
    return np.log(borehole(*x))


def piston(m: Array, s: Array, v0: Array, k: Array, p0: Array, ta: Array, t0: Array) -> Array:
    """Seconds of a cycle of a piston."""
    a = p0 * s + 19.62 * m - k * v0 / s
    v = s / (2 * k) * (np.sqrt(a**2 + 4 * k * p0 * v0 * ta / t0) - a)
    return 2 * np.pi * np.sqrt(m / (k + s**2 * p0 * v0 * ta / (t0 * v**2)))


def otl(b1: Array, b2: Array, f: Array, c1: Array, c2: Array, beta: Array) -> Array:
    """Midpoint voltage of a push-pull circuit without a transformer."""
    middle = 12 * b2 / (b1 + b2) + 0.74
    gain = beta * (c2 + 9)
    first = middle * gain / (gain + f)
    return first + 11.35 * f / (gain + f) + 0.74 * f * gain / ((gain + f) * c1)


def wing(
    sw: Array, wfw: Array, a: Array, sweep: Array, q: Array, taper: Array, tc: Array, nz: Array,
    wdg: Array, wp: Array,
) -> Array:  # fmt: skip
    """Weight of the wing of a light aircraft in pounds."""
    cos = np.cos(np.radians(sweep))
    weight = 0.036 * sw**0.758 * wfw**0.0035 * (a / cos**2) ** 0.6 * q**0.006 * taper**0.04
    return weight * (100 * tc / cos) ** -0.3 * (nz * wdg) ** 0.49 + sw * wp


def robot(*x: Array) -> Array:
    """Distance of the end of a robot's arm of four segments, from four angles and lengths."""
    angles, lengths = np.cumsum(x[:4], 0), np.array(x[4:])
    return np.hypot((lengths * np.cos(angles)).sum(0), (lengths * np.sin(angles)).sum(0))


def ishigami(a: Array, b: Array, c: Array) -> Array:
    return np.sin(a) + 7 * np.sin(b) ** 2 + 0.1 * c**4 * np.sin(a)


def environmental(mass: Array, d: Array, length: Array, tau: Array) -> Array:
    """Concentration of a pollutant of two spills at the place 1.5 and the time 50."""

    def spill(place: Array, time: Array) -> Array:
        return mass / np.sqrt(d * time) * np.exp(-(place**2) / (4 * d * time))

    return spill(np.full_like(tau, 1.5), np.full_like(tau, 50.0)) + spill(1.5 - length, 50 - tau)


def franke(x: Array, y: Array) -> Array:
    x, y = 9 * x, 9 * y
    value = 0.75 * np.exp(-((x - 2) ** 2) / 4 - (y - 2) ** 2 / 4)
    value += 0.75 * np.exp(-((x + 1) ** 2) / 49 - (y + 1) / 10)
    value += 0.5 * np.exp(-((x - 7) ** 2) / 4 - (y - 3) ** 2 / 4)
    return value - 0.2 * np.exp(-((x - 4) ** 2) - (y - 7) ** 2)


def forrester(x: Array) -> Array:
    return (6 * x - 2) ** 2 * np.sin(12 * x - 4)


_ANGLE, _PI = (0.0, 2 * np.pi), (-np.pi, np.pi)
_BOREHOLE = [
    (0.05, 0.15), (100, 50000), (63070, 115600), (990, 1110), (63.1, 116), (700, 820),
    (1120, 1680), (9855, 12045),
]  # fmt: skip
FUNCTIONS: dict[str, tuple[Callable[..., Array], list[tuple[float, float]]]] = {
    "borehole": (borehole, _BOREHOLE),
    "log_borehole": (log_borehole, _BOREHOLE),
    "piston": (
        piston,
        [
            (30, 60), (0.005, 0.02), (0.002, 0.01), (1000, 5000), (9e4, 1.1e5), (290, 296),
            (340, 360),
        ],
    ),
    "otl": (otl, [(50, 150), (25, 70), (0.5, 3), (1.2, 2.5), (0.25, 1.2), (50, 300)]),
    "wing": (
        wing,
        [
            (150, 200), (220, 300), (6, 10), (-10, 10), (16, 45), (0.5, 1), (0.08, 0.18), (2.5, 6),
            (1700, 2500), (0.025, 0.08),
        ],
    ),
    "robot": (robot, [_ANGLE] * 4 + [(0.0, 1.0)] * 4),
    "ishigami": (ishigami, [_PI] * 3),
    "environmental": (environmental, [(7, 13), (0.02, 0.12), (0.01, 3), (30.01, 30.295)]),
    "franke": (franke, [(0.0, 1.0)] * 2),
    "forrester": (forrester, [(0.0, 1.0)]),
}  # fmt: skip
"""Functions with the ranges of their inputs."""


def draw(name: str, rows: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Uniform points ``(rows, inputs)`` and the values of a function there."""
    function, ranges = FUNCTIONS[name]
    low, high = np.array(ranges, dtype=float).T
    x = random.uniform(low, high, (rows, len(ranges)))
    return x, function(*x.T)
