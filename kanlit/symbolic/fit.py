"""Fits a curve by c f(a x + b) + d, for each function f of the library."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy
from scipy.optimize import least_squares

from kanlit.symbolic.library import LIBRARY, Array, Candidate

__all__ = ["CurveFit", "fit_curve", "fit_together"]

_COARSE = 200  # samples for the choice of starting points
_FINE = 1000  # samples for the fit of constants
_STARTS = 3
_FLOOR = 1e-10  # lower bound of 1 - R², beyond the accuracy of networks
_EDGE = 1e-9  # smallest distance of a pole from the samples, relative to half their range


@dataclass(frozen=True)
class CurveFit:
    r"""A curve as :math:`c\,f(a x + b) + d`.

    Attributes:
        candidate: f.
        constants: (a, b, c, d).
        r2: R² over the samples, 1 - Σ(y - ŷ)² / Σ(y - ȳ)².
    """

    candidate: Candidate
    constants: tuple[float, float, float, float]
    r2: float

    @property
    def score(self) -> float:
        r"""Complexity + log10(1 - R²); lower is better.

        One more unit of complexity must reduce 1 - R² tenfold.
        """
        return self.candidate.complexity + float(np.log10(max(1 - self.r2, _FLOOR)))

    def __call__(self, x: Array) -> Array:
        a, b, c, d = self.constants
        return c * self.candidate.values(a * x + b) + d

    def applied(self, x: sympy.Expr) -> sympy.Expr:
        """The fitted function as an expression in ``x``."""
        a, b, c, d = map(sympy.Float, self.constants)
        inner = sympy.expand_mul(a * x + b)
        return sympy.expand_mul(c * self.candidate.applied(inner) + d)


def fit_curve(
    x: Array, y: Array, candidates: Sequence[Candidate] = tuple(LIBRARY.values())
) -> list[CurveFit]:
    r"""Fits every candidate to a curve, best :attr:`CurveFit.score` first.

    For given a and b, the best c and d follow from linear regression. Only a and b are searched,
    first on a grid for samples scaled to [-1, 1], then by least squares from its three best points
    (variable projection: Golub and Pereyra, SIAM J. Numer. Anal. 10, 1973). Poles and ends of the
    domain of a function are kept outside the samples.

    Args:
        x: Samples ``(n,)``; the fit is closer where they are dense.
        y: Values of the curve ``(n,)``.
        candidates: Functions to try.

    Returns:
        A fit for each candidate that has one; empty if x or y is constant.
    """
    rows = _ranks(x, _FINE)
    x, y = x[rows], y[rows]
    low, high = float(x[0]), float(x[-1])
    middle, half = (high + low) / 2, (high - low) / 2
    if not half > 0 or not np.ptp(y) > 0:
        return []
    s = (x - middle) / half
    coarse = _ranks(s, _COARSE)
    found = []
    for candidate in candidates:
        best = max(
            (
                _polished(candidate, start, s, y)
                for start in _starts(candidate, s[coarse], y[coarse])
            ),
            key=lambda fit: fit[1],
            default=None,
        )
        if best is None:
            continue
        (a, b), r2 = best
        c, d = _line(candidate.values(a * s + b), y)
        if np.isfinite([a, b, c, d]).all():
            found.append(CurveFit(candidate, (a / half, b - a * middle / half, c, d), r2))
    return sorted(found, key=lambda fit: fit.score)


def fit_together(fits: Sequence[CurveFit], x: Array, curves: Array) -> list[CurveFit]:
    r"""Fits several curves over the same samples by one function with common a and b.

    Args:
        fits: Separate fits of each curve, all with the same function.
        x: Samples ``(n,)``.
        curves: Values of the curves ``(n, curves)``.

    Returns:
        A fit for each curve with its own c and d; the common a and b minimize the sum of 1 - R².
    """
    rows = _ranks(x, _COARSE)
    x, curves = x[rows], curves[rows]
    candidate = fits[0].candidate
    size = np.linalg.norm(curves - curves.mean(0), axis=0)

    def parts(inner: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            values = candidate.values(inner[0] * x + inner[1])
            lines = np.array([_line(values, curve) for curve in curves.T])
            return lines, (values[:, None] * lines[:, 0] + lines[:, 1] - curves) / size

    found = []
    for fit in fits:
        inner = np.array(fit.constants[:2])
        if candidate.search != "none" and np.isfinite(parts(inner)[1]).all():
            # A finite difference may leave the domain of the function; scipy then raises.
            with contextlib.suppress(ValueError):
                inner = least_squares(
                    lambda inner: parts(inner)[1].ravel(), inner, x_scale="jac", max_nfev=30
                ).x
        lines, errors = parts(inner)
        if np.isfinite(errors).all():
            found.append((float((errors**2).sum()), inner.tolist(), lines, errors))
    if not found:
        return []
    _, (a, b), lines, errors = min(found, key=lambda each: each[0])
    return [
        CurveFit(candidate, (a, b, float(c), float(d)), 1 - float(e @ e))
        for (c, d), e in zip(lines, errors.T, strict=True)
    ]


def _ranks(x: Array, count: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Indices of samples at equally spaced ranks, including both ends."""
    order = np.argsort(x, kind="stable")
    return order[np.unique(np.linspace(0, len(x) - 1, min(count, len(x))).round().astype(int))]


def _grid(candidate: Candidate) -> Array:
    """Starting points (a, b) for samples in [-1, 1], ``(starts, 2)``."""
    signs = np.array([1.0, -1.0])
    match candidate.search:
        case "none":
            return np.array([[1.0, 0.0]])
        case "shift":
            return _pairs(np.ones(1), np.linspace(-3, 3, 61))
        case "pole":
            return _pairs(signs, 1 + np.geomspace(1e-4, 30, 60))
        case "rate":
            return _pairs(np.outer(signs, np.geomspace(0.05, 30, 40)).ravel(), np.zeros(1))
        case "wave":
            return _pairs(np.linspace(0.25, 40, 160), np.arange(6) * np.pi / 6)
        case "bump":
            steep, centre = np.geomspace(0.2, 60, 24), np.linspace(-2, 2, 41)
            return np.array([(a, -a * c) for a in steep for c in centre])
        case "interval":
            ends = 1 - np.geomspace(1e-4, 0.9, 16)
            return np.array([((u + v) / 2, (u - v) / 2) for u in ends for v in ends])


def _pairs(a: Array, b: Array) -> Array:
    return np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 2)


def _starts(candidate: Candidate, s: Array, y: Array) -> list[Array]:
    grid = _grid(candidate)
    with np.errstate(all="ignore"):
        values = candidate.values(grid[:, :1] * s + grid[:, 1:])
        values = values - values.mean(1, keepdims=True)
        centred = y - y.mean()
        r2 = (values @ centred) ** 2 / ((values**2).sum(1) * (centred**2).sum())
    r2 = np.where(np.isfinite(r2), r2, -1.0)
    best = [index for index in np.argsort(-r2)[:_STARTS] if r2[index] >= 0]
    return [grid[index] for index in best]


def _polished(
    candidate: Candidate, start: Array, s: Array, y: Array
) -> tuple[tuple[float, float], float]:
    """The best (a, b) near ``start`` and its R²."""

    def inner(free: Array) -> tuple[float, float]:
        match candidate.search:
            case "none":
                return float(start[0]), float(start[1])
            case "shift":
                return float(start[0]), float(free[0])
            case "pole":  # by the logarithm of the distance, which is positive then
                return float(start[0]), 1 + _EDGE + float(np.exp(free[0]))
            case "rate":
                return float(free[0]), 0.0
            case "interval":  # both ends by what is left of 1
                upper, lower = 1 - _EDGE - np.exp(-np.abs(free))
                return float(upper + lower) / 2, float(upper - lower) / 2
            case _:
                return float(free[0]), float(free[1])

    def residuals(free: Array) -> Array:
        a, b = inner(free)
        with np.errstate(all="ignore"):
            values = candidate.values(a * s + b)
            c, d = _line(values, y)
            return c * values + d - y

    match candidate.search:
        case "none":
            free = np.zeros(0)
        case "shift":
            free = start[1:]
        case "pole":
            free = np.log(start[1:] - 1)
        case "rate":
            free = start[:1]
        case "interval":
            ends = np.array([start[0] + start[1], start[0] - start[1]])
            free = -np.log(1 - ends)
        case _:
            free = start
    if free.size and np.isfinite(residuals(free)).all():
        tolerance = {"ftol": 1e-14, "xtol": 1e-14, "gtol": 1e-14}
        free = least_squares(residuals, free, x_scale="jac", max_nfev=60, **tolerance).x
    error = residuals(free)
    r2 = 1 - float((error**2).sum() / ((y - y.mean()) ** 2).sum())
    return inner(free), r2 if np.isfinite(r2) else -np.inf


def _line(values: Array, y: Array) -> tuple[float, float]:
    """c and d of the linear regression c · values + d of y."""
    centred = values - values.mean()
    spread = float(centred @ centred)
    c = float(centred @ y) / spread if spread > 0 else 0.0
    return c, float(y.mean() - c * values.mean())
