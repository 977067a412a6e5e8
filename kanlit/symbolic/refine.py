"""Fits all constants of a formula to data and replaces them by simple numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import sympy
from scipy.optimize import least_squares

from kanlit.symbolic.library import Array

__all__ = ["Template", "refine", "snap"]

_CLOSE = 1e-6  # simple numbers within this relative distance are always tried
_FAR = 0.05  # largest relative distance at which they are tried
_DEAREST = 200  # largest numerator + denominator, weighted by 3 for π and 6 for 1/π
_NEAR = 30  # least-squares steps of the other constants after one is replaced
_GROWTH = 1.01  # allowed growth of the mean squared error by all simple numbers together
_ROUNDING = 1e-10  # error treated as zero, relative to the standard deviation of the targets


@dataclass
class Template:
    """A compiled formula with a symbol for each decimal constant.

    Args:
        expression: The formula; every distinct ``Float`` in it is a constant.
        inputs: Symbols of its inputs.
        functions: Numpy functions by name that sympy does not know.
    """

    expression: sympy.Expr
    inputs: Sequence[sympy.Symbol]
    functions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known: dict[sympy.Float, sympy.Symbol] = {}
        self.start: list[float] = []
        self.symbols: list[sympy.Symbol] = []
        # Inputs are renamed internally, because a column may be called sin, x0 or _c0.
        plain = [sympy.Symbol(f"_x{i}", real=True) for i in range(len(self.inputs))]
        inner = dict(zip(self.inputs, plain, strict=True))
        self._names = dict(zip(plain, self.inputs, strict=True))
        self.form = self._parametrised(self.expression.xreplace(inner))
        self._modules = [dict(self.functions), "numpy"]
        self._arguments = [*plain, *self.symbols]
        self._value = sympy.lambdify(self._arguments, self.form, self._modules, cse=True)

    @cached_property
    def _slopes(self) -> Any:
        terms = [(term, term.free_symbols) for term in sympy.Add.make_args(self.form)]
        slopes = [
            sympy.Add(*(sympy.diff(term, symbol) for term, own in terms if symbol in own))
            for symbol in self.symbols
        ]
        return sympy.lambdify(self._arguments, slopes, self._modules, cse=True)

    def _parametrised(self, node: sympy.Basic) -> Any:
        if isinstance(node, sympy.Float):
            if node in self._known:
                return self._known[node]
            symbol = sympy.Symbol(f"_c{len(self.symbols)}", real=True)
            self.symbols.append(symbol)
            self.start.append(float(node))
            self._known[node] = symbol
            return symbol
        if not node.args:
            return node
        return node.func(*map(self._parametrised, node.args))

    def values(self, x: Array, constants: Array) -> Array:
        """The formula at ``x`` ``(n, in)``, ``(n,)``; not finite outside its domain."""
        with np.errstate(all="ignore"):
            found = self._value(*x.T, *constants)
        return np.broadcast_to(np.asarray(found, dtype=float), x.shape[:1])

    def jacobian(self, x: Array, constants: Array) -> Array:
        """Derivatives by the constants, ``(n, constants)``."""
        return _columns(self._slopes, x, constants)

    def columns(self, x: Array, constants: Array) -> Array:
        """The elements at ``x`` of a formula that is a tuple, ``(n, elements)``."""
        return _columns(self._value, x, constants)

    def fitted(self, x: Array, y: Array, start: Array, free: Array, steps: int = 100) -> Array:
        """Least-squares constants for ``y`` ``(n,)``; those not ``free`` are fixed."""
        if not free.any() or not np.isfinite(self.values(x, start)).all():
            return start

        def full(part: Array) -> Array:
            constants = start.copy()
            constants[free] = part
            return constants

        first = self.jacobian(x, start)
        if not np.isfinite(first).all():
            return start
        found = least_squares(
            lambda part: self.values(x, full(part)) - y,
            start[free],
            jac=lambda part: np.nan_to_num(self.jacobian(x, full(part))[:, free]),
            method="lm" if free.sum() <= len(x) else "trf",
            x_scale="jac",
            max_nfev=steps,
            ftol=1e-15,
            xtol=1e-15,
            gtol=1e-15,
        )
        other = full(found.x)
        return other if self.error(x, y, other) < self.error(x, y, start) else start

    def error(self, x: Array, y: Array, constants: Array) -> float:
        """Root mean squared error; infinite if a sample is outside the domain of the formula."""
        error = float(np.sqrt(np.mean((self.values(x, constants) - y) ** 2)))
        return error if np.isfinite(error) else float("inf")

    def with_constants(self, constants: Sequence[Any]) -> sympy.Expr:
        """The formula with given constants, as numbers or sympy expressions."""
        numbers = {s: sympy.sympify(c) for s, c in zip(self.symbols, constants, strict=True)}
        return self.form.xreplace({**self._names, **numbers}).doit()


def _columns(function: Any, x: Array, constants: Array) -> Array:
    with np.errstate(all="ignore"):
        found = function(*x.T, *constants)
    columns = [np.broadcast_to(np.asarray(f, dtype=float), x.shape[:1]) for f in found]
    return np.stack(columns, axis=1) if columns else np.zeros((len(x), 0))


def refine(
    expression: sympy.Expr,
    inputs: Sequence[sympy.Symbol],
    x: Array,
    y: Array,
    functions: Mapping[str, Any] | None = None,
    steps: int = 100,
) -> tuple[sympy.Expr, float]:
    """Fits all decimal constants of a formula together.

    Args:
        expression: The formula.
        inputs: Symbols of its inputs.
        x: Samples of the inputs ``(n, in)``.
        y: Targets ``(n,)``.
        functions: Numpy functions by name that sympy does not know.
        steps: Largest number of evaluations.

    Returns:
        The formula with least-squares constants, and its root mean squared error. If a sample is
        outside its domain, the unchanged formula and infinity.
    """
    template = Template(expression, inputs, functions or {})
    start = np.array(template.start)
    found = template.fitted(x, y, start, np.ones(len(start), dtype=bool), steps)
    return template.with_constants(found.tolist()), template.error(x, y, found)


def snap(
    expression: sympy.Expr,
    inputs: Sequence[sympy.Symbol],
    x: Array,
    y: Array,
    functions: Mapping[str, Any] | None = None,
) -> tuple[sympy.Expr, float]:
    """Replaces constants by simple numbers where the error allows it.

    Simple numbers are 0, integers, fractions, and their multiples of π and 1/π. Those within three
    standard errors of a constant are tried, simplest first, and the other constants are refitted
    each time. Together they may raise the mean squared error by 1 % plus 2/n per replaced constant,
    twice what fitting a constant to noise gains.

    Args:
        expression: The formula, refined.
        inputs: Symbols of its inputs.
        x: Samples of the inputs ``(n, in)``.
        y: Targets ``(n,)``.
        functions: Numpy functions by name that sympy does not know.

    Returns:
        The formula and its root mean square error.
    """
    template = Template(expression, inputs, functions or {})
    constants = np.array(template.start)
    exact: list[sympy.Expr | None] = [None] * len(constants)
    free = np.ones(len(constants), dtype=bool)
    before = template.error(x, y, constants)
    rounding = _ROUNDING * float(np.std(y))
    reach = _reach(template, x, constants, before)
    tried = sorted(
        (
            (cost, abs(float(near) - value), place, near)
            for place, value in enumerate(constants)
            for cost, near in _simple(value, reach[place])
        ),
        key=lambda trial: trial[:3],
    )
    for _, _, place, near in tried:
        if not free[place]:
            continue
        trial = constants.copy()
        trial[place] = float(near)
        still = free.copy()
        still[place] = False
        trial = template.fitted(x, y, trial, still, _NEAR)
        allowed = before * np.sqrt(_GROWTH + 2 * (~still).sum() / len(y)) + rounding
        if template.error(x, y, trial) <= allowed:
            constants, free = trial, still
            exact[place] = near
    final = [c if e is None else e for c, e in zip(constants, exact, strict=True)]
    return template.with_constants(final), template.error(x, y, constants)


def _reach(template: Template, x: Array, constants: Array, error: float) -> Array:
    r"""Three standard errors of each least-squares constant.

    .. math:: 3\,\sigma \sqrt{(J^T J)^{-1}_{ii}}
    """
    jacobian = template.jacobian(x, constants)
    if not (np.isfinite(jacobian).all() and np.isfinite(error)):
        return np.zeros(len(constants))
    size = np.linalg.norm(jacobian, axis=0)
    size[size == 0] = 1.0
    inverse = np.linalg.pinv(jacobian / size)
    return 3 * error * np.linalg.norm(inverse, axis=1) / size


def _simple(value: float, reach: float) -> list[tuple[int, sympy.Expr]]:
    """Simple numbers within ``reach`` of ``value``, each with its complexity."""
    size = max(abs(value), 1.0)
    near = min(max(reach, _CLOSE * size), _FAR * size)
    found: dict[sympy.Expr, int] = {}
    if abs(value) <= near:
        found[sympy.Integer(0)] = 0
    for unit, price in ((sympy.Integer(1), 1), (sympy.pi, 3), (1 / sympy.pi, 6)):
        for denominator in (1, 2, 3, 4, 5, 6, 8, 10):
            numerator = round(value / float(unit) * denominator)
            fraction = Fraction(numerator, denominator)
            number = sympy.Rational(fraction.numerator, fraction.denominator) * unit
            cost = price * (abs(fraction.numerator) + fraction.denominator)
            simple = numerator and cost <= _DEAREST
            if simple and number not in found and abs(float(number) - value) <= near:
                found[number] = cost
    return [(cost, number) for number, cost in found.items()]
