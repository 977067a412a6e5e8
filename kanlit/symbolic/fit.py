"""Fits curves by c f(a x + b) + d, for each function f of the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy

from kanlit.symbolic.library import LIBRARY, Array, Candidate

__all__ = ["CurveFit", "fit_curve", "fit_curves", "fit_together", "times"]

_COARSE = 200  # samples for the choice of starting points
_FINE = 1000  # samples for the fit of constants
_STARTS = 3
_STEPS = 60
_FLOOR = 1e-10  # lower bound of 1 - R², beyond the accuracy of networks
_CONVERGED = 1e-10  # relative decrease of 1 - R² in a step
_HOPELESS = 0.5  # 1 - R² of the best start above which it is not polished on all samples
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
        return times(c, self.candidate.applied(times(a, x) + b)) + d


def times(number: sympy.Float, expression: sympy.Expr) -> sympy.Expr:
    """A number times each term of a sum; ``sympy.expand_mul`` takes much longer."""
    return sympy.Add(*(number * term for term in sympy.Add.make_args(expression)))


def fit_curve(
    x: Array, y: Array, candidates: Sequence[Candidate] = tuple(LIBRARY.values())
) -> list[CurveFit]:
    """Fits every candidate to a curve ``(n,)``, as ``fit_curves`` does to several."""
    return fit_curves(x[:, None], y[:, None], candidates)[0]


def fit_curves(
    x: Array, y: Array, candidates: Sequence[Candidate] = tuple(LIBRARY.values())
) -> list[list[CurveFit]]:
    r"""Fits every candidate to each curve, best :attr:`CurveFit.score` first.

    For given a and b, the best c and d follow from linear regression. Only a and b are searched,
    first on a grid for samples scaled to [-1, 1], then by Levenberg-Marquardt steps from its three
    best points, for all curves together. Poles and ends of the domain of a function are kept
    outside the samples.

    Args:
        x: Samples ``(n, curves)``; the fit is closer where they are dense.
        y: Values of the curves ``(n, curves)``.
        candidates: Functions to try.

    Returns:
        For each curve, a fit for each candidate that has one; none if x or y is constant.

    Source: variable projection, Golub and Pereyra, SIAM J. Numer. Anal. 10 (1973), with the
    Jacobian of Kaufman, BIT 15 (1975).
    """
    rows = np.stack([_ranks(column, _FINE) for column in x.T], axis=1)
    x, y = np.take_along_axis(x, rows, 0).T, np.take_along_axis(y, rows, 0).T  # (curves, n)
    found: list[list[CurveFit]] = [[] for _ in x]
    (varied,) = np.nonzero((np.ptp(x, axis=1) > 0) & (np.ptp(y, axis=1) > 0))
    if not len(varied):
        return found
    x, y = x[varied], y[varied]
    middle, half = (x[:, -1] + x[:, 0]) / 2, (x[:, -1] - x[:, 0]) / 2
    s = (x - middle[:, None]) / half[:, None]
    mean = y.mean(1)
    size = np.linalg.norm(y - mean[:, None], axis=1)
    targets = (y - mean[:, None]) / size[:, None]
    coarse = np.unique(np.linspace(0, s.shape[1] - 1, min(_COARSE, s.shape[1])).round().astype(int))
    few = targets[:, coarse] - targets[:, coarse].mean(1, keepdims=True)
    few /= np.linalg.norm(few, axis=1, keepdims=True)
    for candidate in candidates:
        starts, which = _starts(candidate, s[:, coarse], few)
        if not len(which):
            continue
        inner, errors = _polished(candidate, starts, s[which][:, coarse], few[which][:, None])
        order = np.argsort(errors, kind="stable")
        _, first = np.unique(which[order], return_index=True)
        best = order[first]  # the best start of each curve that has one
        inner, which, errors = inner[best], which[best], errors[best]
        close = errors <= _HOPELESS
        if s.shape[1] > len(coarse) and close.any():
            inner[close], _ = _polished(
                candidate, inner[close], s[which[close]], targets[which[close]][:, None]
            )
        c, _, _, residuals = _projected(candidate, inner, s[which], targets[which][:, None])
        errors = (residuals**2).sum((1, 2))
        for (a, b), k, (slope,), error in zip(inner, which, c, errors, strict=True):
            outer = a / half[k], b - a * middle[k] / half[k]
            values = candidate.values(a * s[k] + b)
            constants = (*outer, slope * size[k], mean[k] - slope * size[k] * values.mean())
            if np.isfinite([*constants, error]).all():
                a_, b_, c_, d_ = map(float, constants)
                found[varied[k]].append(CurveFit(candidate, (a_, b_, c_, d_), 1 - float(error)))
    return [sorted(fits, key=lambda fit: fit.score) for fits in found]


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
    x, y = x[rows], curves[rows].T
    candidate = fits[0].candidate
    middle, half = (x[-1] + x[0]) / 2, (x[-1] - x[0]) / 2
    mean = y.mean(1, keepdims=True)
    size = np.linalg.norm(y - mean, axis=1, keepdims=True)
    starts = np.array([(a * half, a * middle + b) for a, b, _, _ in (f.constants for f in fits)])
    if candidate.search in ("shift", "pole"):
        starts /= abs(starts[:, :1])
    s = np.broadcast_to((x - middle) / half, (len(fits), len(x)))
    targets = np.broadcast_to((y - mean) / size, (len(fits), *y.shape))
    inner, errors = _polished(candidate, starts, s, targets)
    best = int(np.argmin(errors))
    if not np.isfinite(errors[best]):
        return []
    (slopes,), _, _, (residuals,) = _projected(
        candidate, inner[best : best + 1], s[:1], targets[:1]
    )
    a, b = float(inner[best, 0] / half), float(inner[best, 1] - inner[best, 0] * middle / half)
    c = slopes * size[:, 0]
    d = mean[:, 0] - c * candidate.values(a * x + b).mean()
    return [
        CurveFit(candidate, (a, b, float(c[k]), float(d[k])), 1 - float(e @ e))
        for k, e in enumerate(residuals)
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


def _starts(
    candidate: Candidate, s: Array, y: Array
) -> tuple[Array, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """The best points of the grid ``(starts, 2)``, and the curve of each."""
    grid = _grid(candidate)
    found, which = [], []
    for k in range(len(s)):
        with np.errstate(all="ignore"):
            values = candidate.values(grid[:, :1] * s[k] + grid[:, 1:])
            values = values - values.mean(1, keepdims=True)
            r2 = (values @ y[k]) ** 2 / (values**2).sum(1)
        r2 = np.where(np.isfinite(r2), r2, -1.0)
        best = [index for index in np.argsort(-r2, kind="stable")[:_STARTS] if r2[index] >= 0]
        found.append(grid[best])
        which += [k] * len(best)
    return np.concatenate(found), np.array(which, dtype=np.intp)


def _free(candidate: Candidate, inner: Array) -> Array:
    """The free parameters of (a, b), which have no bounds, ``(fits, parameters)``."""
    a, b = inner.T
    match candidate.search:
        case "none":
            return inner[:, :0]
        case "shift":
            return inner[:, 1:]
        case "pole":  # the logarithm of the distance, which is positive then
            return np.log(np.maximum(inner[:, 1:] - 1 - _EDGE, _EDGE))
        case "rate":
            return inner[:, :1]
        case "interval":  # both ends by what is left of 1
            return -np.log(np.maximum(1 - _EDGE - np.stack([a + b, a - b], 1), _EDGE))
        case _:
            return inner


def _inner(candidate: Candidate, free: Array, start: Array) -> tuple[Array, Array]:
    """(a, b) ``(fits, 2)`` and its derivatives ``(fits, 2, parameters)`` by the free parameters."""
    inner = start.copy()
    slopes = np.zeros((*start.shape, free.shape[1]))
    match candidate.search:
        case "none":
            pass
        case "shift":
            inner[:, 1], slopes[:, 1, 0] = free[:, 0], 1.0
        case "pole":
            distance = np.exp(free[:, 0])
            inner[:, 1], slopes[:, 1, 0] = 1 + _EDGE + distance, distance
        case "rate":
            inner[:, 0], slopes[:, 0, 0] = free[:, 0], 1.0
        case "interval":
            left = np.exp(-np.abs(free))
            upper, lower = (1 - _EDGE - left).T
            inner[:, 0], inner[:, 1] = (upper + lower) / 2, (upper - lower) / 2
            rates = left * np.sign(free) / 2
            slopes[:, 0] = rates
            slopes[:, 1] = rates * [1, -1]
        case _:
            inner, slopes[:] = free.copy(), np.eye(2)
    return inner, slopes


def _projected(
    candidate: Candidate, inner: Array, s: Array, targets: Array
) -> tuple[Array, Array, Array, Array]:
    """Best slopes c ``(fits, curves)``, f less its mean, its mean square, and the residuals.

    Args:
        inner: (a, b) ``(fits, 2)``.
        s: Samples ``(fits, n)``.
        targets: Curves of mean 0 ``(fits, curves, n)``.
    """
    with np.errstate(all="ignore"):
        values = candidate.values(inner[:, :1] * s + inner[:, 1:])
        values = values - values.mean(1, keepdims=True)
        square = (values**2).sum(1, keepdims=True)
        c = np.einsum("fn,fkn->fk", values, targets) / square
        return c, values, square, targets - c[:, :, None] * values[:, None]


def _polished(candidate: Candidate, start: Array, s: Array, targets: Array) -> tuple[Array, Array]:
    r"""The best (a, b) near each start, and the sum of squared residuals of its curves.

    With u the values of f less their mean and g the derivatives of f by the parameters, both less
    their components along 1 and g also along u, a step solves

    .. math:: (\textstyle\sum_k c_k^2\; g g^T + \lambda D)\,\delta = g \sum_k c_k r_k

    Args:
        start: (a, b) ``(fits, 2)``.
        s: Samples ``(fits, n)`` in [-1, 1].
        targets: Curves of mean 0 and norm 1 ``(fits, curves, n)``.
    """
    free = _free(candidate, start)
    inner, slopes = _inner(candidate, free, start)
    c, values, square, residuals = _projected(candidate, inner, s, targets)
    errors = _squared(residuals)
    damping = np.full(len(start), 1e-3)
    active = np.isfinite(errors) & (free.shape[1] > 0)
    for _ in range(_STEPS):
        if not active.any():
            break
        k = np.nonzero(active)[0]
        with np.errstate(all="ignore"):
            rate = candidate.slopes(inner[k, :1] * s[k] + inner[k, 1:])
            rate = np.broadcast_to(rate, s[k].shape)
            by_inner = np.stack([rate * s[k], rate], axis=1)  # (fits, 2, n)
            g = np.einsum("fin,fip->fpn", by_inner, slopes[k])
            g = g - g.mean(2, keepdims=True)
            u = values[k]
            g = g - (np.einsum("fpn,fn->fp", g, u) / square[k])[:, :, None] * u[:, None]
            weighted = np.einsum("fk,fkn->fn", c[k], residuals[k])
            normal = (c[k] ** 2).sum(1)[:, None, None] * np.einsum("fpn,fqn->fpq", g, g)
            right = np.einsum("fpn,fn->fp", g, weighted)
            diagonal = np.einsum("fpp->fp", normal)
            diagonal = diagonal + 1e-12 * diagonal.max(1, keepdims=True)
            damped = normal + damping[k, None, None] * diagonal[:, :, None] * np.eye(g.shape[1])
            solvable = np.isfinite(damped).all((1, 2)) & np.isfinite(right).all(1)
            solvable &= (diagonal > 0).all(1)
            active[k[~solvable]] = False
            k, damped, right = k[solvable], damped[solvable], right[solvable]
            if not len(k):
                break
            step = np.linalg.solve(damped, right[:, :, None])[:, :, 0]
        tried = free[k] + step
        with np.errstate(all="ignore"):
            its_inner, its_slopes = _inner(candidate, tried, start[k])
        new = _projected(candidate, its_inner, s[k], targets[k])
        its_errors = _squared(new[3])
        better = its_errors < errors[k]
        done = better & (errors[k] - its_errors <= _CONVERGED * errors[k])
        damping[k] = np.where(better, np.maximum(damping[k] / 10, 1e-12), damping[k] * 10)
        kept = k[better]
        free[kept], inner[kept], slopes[kept] = tried[better], its_inner[better], its_slopes[better]
        c[kept], values[kept], square[kept], residuals[kept] = (part[better] for part in new)
        errors[kept] = its_errors[better]
        active[k[done]] = False
        active[damping > 1e6] = False
        active[errors < _FLOOR**2] = False
    return inner, errors


def _squared(residuals: Array) -> Array:
    errors = (residuals**2).sum((1, 2))
    return np.where(np.isfinite(errors), errors, np.inf)
