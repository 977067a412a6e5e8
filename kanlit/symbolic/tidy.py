"""The simplest form of a formula, with constants fitted to samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import sympy

from kanlit.symbolic.library import Array
from kanlit.symbolic.refine import Template, refine, snap

__all__ = ["is_other", "regressed", "tidied"]

_EXPANDED = 60  # largest number of terms of an expanded formula
_SIMPLIFIED = 40  # largest number of operations for sympy.simplify
_EXACT = 1e-12  # relative error below which the shorter form is the better one
_ROUNDS = 4


def regressed(
    expression: sympy.Expr,
    symbols: Sequence[sympy.Symbol],
    x: Array,
    y: Array,
    functions: Mapping[str, Any],
) -> sympy.Expr:
    """A sum with the coefficients of its terms by linear regression."""
    terms = [term.as_coeff_Mul()[1] for term in sympy.Add.make_args(expression)]
    template = Template(sympy.Tuple(*terms), symbols, functions)
    design = template.columns(x, np.array(template.start))
    if not np.isfinite(design).all():
        return expression
    size = np.linalg.norm(design, axis=0)
    found = np.linalg.lstsq(design / size, y)[0] / size
    return sympy.Add(*(sympy.Float(c) * term for c, term in zip(found, terms, strict=True)))


def is_other(expanded: sympy.Expr, expression: sympy.Expr, most: int = _EXPANDED) -> bool:
    """Whether expansion has given another formula that is not too long.

    Each product then has its own coefficient, which least squares can find more easily than the
    coupled constants in squares of sums.
    """
    return expanded != expression and len(sympy.Add.make_args(expanded)) <= most


def tidied(
    expression: sympy.Expr,
    symbols: Sequence[sympy.Symbol],
    x: Array,
    y: Array,
    functions: Mapping[str, Any],
) -> tuple[sympy.Expr, float]:
    """The simplest form of a formula, with refined and simplified constants.

    If a network represents a product by squares, expansion removes the squares; sines of the same
    argument at several phases become one sine and one cosine.
    """
    forms = [expression]
    expanded = sympy.expand(expression)
    if is_other(expanded, expression):
        forms.append(expanded)
    data = symbols, x, y, functions
    found = [_simplified(form, *data) for form in forms]
    for each in list(found):
        split = _without_phases(each.expression)
        if is_other(split, each.expression):
            found.append(_simplified(regressed(split, *data), *data))
    best = min(found, key=lambda each: each.score)
    return best.expression, best.error


class _Form(NamedTuple):
    """A form with simple numbers, its error, and a score that is lower for a better one."""

    expression: sympy.Expr
    error: float
    score: float


def _simplified(
    form: sympy.Expr,
    symbols: Sequence[sympy.Symbol],
    x: Array,
    y: Array,
    functions: Mapping[str, Any],
) -> _Form:
    """The shortest form with refined and simplified constants."""
    snapped, error = form, np.inf
    for _ in range(_ROUNDS):  # repeat, because equal terms are merged
        before = snapped
        refined, _ = refine(snapped, symbols, x, y, functions)
        snapped, error = snap(refined, symbols, x, y, functions)
        if sympy.count_ops(snapped) == sympy.count_ops(before):
            break
    shortest = _shortest(snapped)
    length = sympy.count_ops(shortest) + 3 * len(shortest.atoms(sympy.Float))
    spread = float(np.std(y)) or 1.0
    score = float(np.log10(max(error / spread, _EXACT))) + length / 50
    return _Form(shortest, error, score)


def _without_phases(expression: sympy.Expr) -> sympy.Expr:
    r"""The expanded formula by :math:`\sin(u + \varphi) = \cos\varphi \sin u + \sin\varphi \cos u`.

    Only decimal phases are removed, and squares of cosines, so that all terms are independent.
    """

    def sine(argument: sympy.Expr) -> sympy.Expr:
        phase, rest = argument.as_coeff_Add()
        if not (phase.is_Float and rest):
            return sympy.sin(argument)
        return sympy.cos(phase) * sympy.sin(rest) + sympy.sin(phase) * sympy.cos(rest)

    def power(base: sympy.Expr, exponent: sympy.Expr) -> sympy.Expr:
        if not (isinstance(base, sympy.cos) and exponent.is_Integer and exponent > 1):
            return base**exponent
        return (1 - sympy.sin(base.args[0]) ** 2) ** (exponent // 2) * base ** (exponent % 2)

    split = expression.replace(sympy.sin, sine)
    if split == expression:
        return expression
    return sympy.expand(sympy.expand(split).replace(sympy.Pow, power))


def _shortest(expression: sympy.Expr) -> sympy.Expr:
    """The equivalent form by sympy with the fewest functions and operations."""
    forms = [expression, sympy.powsimp(expression), sympy.factor_terms(expression)]
    if expression.has(sympy.tanh):  # tanh(artanh(a) + artanh(b)) has no functions left
        forms.append(sympy.expand_trig(expression))
    if not expression.atoms(sympy.Float) and sympy.count_ops(expression) <= _SIMPLIFIED:
        forms.append(sympy.simplify(forms[-1]))  # takes minutes with decimals
    return min(forms, key=lambda form: (_functions(form), sympy.count_ops(form)))


def _functions(expression: sympy.Expr) -> int:
    return len(expression.atoms(sympy.Function))
