"""The formula of a network inside the inputs and the ansatz of an equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from math import isclose, pi
from typing import Any

import sympy

from kanlit.problems.form import SolutionForm
from kanlit.symbolic.formula import Formula

__all__ = ["surrounded"]


def surrounded(formula: Formula, form: SolutionForm, coordinates: Sequence[str]) -> Formula | None:
    """The formula of the unknowns in the coordinates, ``A(N(E(x)), x)``.

    Args:
        formula: That of the network N, whose inputs are those of the form.
        form: E and A.
        coordinates: Their names.

    Returns:
        None if E or A has an operation that has no formula.
    """
    symbols = tuple(sympy.Symbol(name, real=True) for name in coordinates)
    columns = [_Traced(symbol) for symbol in symbols]
    try:
        inputs = [_of(each) for each in form.embedded(columns)]
        inside = dict(zip(formula.inputs, inputs, strict=True))
        raw = [_Traced(each.expression.xreplace(inside)) for each in formula.outputs]
        unknowns = [_of(each) for each in form.completed(raw, columns)]
    except (TypeError, ValueError, AttributeError):
        return None
    outputs = zip(formula.outputs, unknowns, strict=True)
    return replace(
        formula,
        inputs=symbols,
        outputs=tuple(replace(each, expression=whole) for each, whole in outputs),
    )


class _Traced:
    """A column as a sympy expression: arithmetic and functions of torch build another."""

    def __init__(self, expression: sympy.Expr) -> None:
        self.expression = expression

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> _Traced:
        operation = _OPERATIONS.get(func.__name__.strip("_"))
        if operation is None or kwargs:
            raise TypeError(f"{func.__name__} has no formula")
        return _Traced(operation(*(_of(argument) for argument in args)))

    def __getattr__(self, name: str) -> Callable[..., _Traced]:
        if name.startswith("__") or name not in _OPERATIONS:
            raise AttributeError(name)
        return partial(_call, name, self)

    def __neg__(self) -> _Traced:
        return _call("neg", self)

    def __add__(self, other: Any) -> _Traced:
        return _call("add", self, other)

    def __sub__(self, other: Any) -> _Traced:
        return _call("sub", self, other)

    def __mul__(self, other: Any) -> _Traced:
        return _call("mul", self, other)

    def __truediv__(self, other: Any) -> _Traced:
        return _call("div", self, other)

    def __pow__(self, other: Any) -> _Traced:
        return _call("pow", self, other)

    def __rsub__(self, other: Any) -> _Traced:
        return _call("sub", other, self)

    def __rtruediv__(self, other: Any) -> _Traced:
        return _call("div", other, self)

    def __rpow__(self, other: Any) -> _Traced:
        return _call("pow", other, self)

    __radd__ = __add__
    __rmul__ = __mul__


def _call(name: str, *arguments: Any) -> _Traced:
    return _Traced(_OPERATIONS[name](*(_of(argument) for argument in arguments)))


def _of(value: Any) -> sympy.Expr:
    """The expression of a column or a number; a multiple of π is recognised."""
    if isinstance(value, _Traced):
        return value.expression
    number = float(value)
    if number.is_integer():
        return sympy.Integer(int(number))
    turns = Fraction(number / pi).limit_denominator(64)
    if turns and isclose(float(turns) * pi, number, rel_tol=1e-15):
        return sympy.Rational(turns.numerator, turns.denominator) * sympy.pi
    return sympy.Float(number)


_OPERATIONS: dict[str, Callable[..., sympy.Expr]] = {
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "rsub": lambda a, b: b - a,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "square": lambda a: a**2,
    "reciprocal": lambda a: 1 / a,
    "sigmoid": lambda a: 1 / (1 + sympy.exp(-a)),
    "abs": sympy.Abs,
    **{
        name: getattr(sympy, name)
        for name in ("sin", "cos", "tan", "exp", "log", "sqrt", "sinh", "cosh", "tanh", "atan")
    },
}
