"""Formulas written by the user, evaluated on tensors."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.hints import near
from kanlit.problems.expression_syntax import (
    CONSTANTS,
    FUNCTIONS,
    OPERATORS,
    parse,
    post_order,
    shown,
)
from kanlit.problems.functions.target import Bounds

__all__ = ["Expression"]


@dataclass(frozen=True)
class Expression:
    """A formula such as ``y = sin(3*x)*exp(-z)``, created by :meth:`parse`.

    It may contain numbers, variables, the constants ``e`` and ``pi``, ``+ - * / **``, parentheses
    and functions of one argument (:data:`kanlit.problems.expression_syntax.FUNCTIONS`). It is never
    executed as Python: its syntax tree is checked against this list and evaluated on tensors.

    >>> formula = Expression.parse("y = 2*x**2 - z")
    >>> formula.variables
    ('x', 'z')
    >>> formula(torch.tensor([[3.0, 1.0]]))
    tensor([[17.]])

    Attributes:
        text: The formula, on one line.
        target: The name on its left side; ``y`` if there is none.
        variables: The variables in the order of their first appearance.
    """

    text: str
    target: str
    variables: tuple[str, ...]
    _expression: ast.expr = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Parses a formula.

        Raises:
            ConfigurationError: If it is empty, has a syntax error, contains anything not listed
                above, is too long or too deeply nested, or has no variable.
        """
        line, left, expression = parse(text)
        names = [part.id for part in post_order(expression) if isinstance(part, ast.Name)]
        variables = tuple(dict.fromkeys(name for name in names if name not in CONSTANTS))
        if not variables:
            raise ConfigurationError(
                f"formula {shown(line)} has no variable: write one such as 'y = sin(3*x)'"
            )
        target = left or "y"
        if target in variables:
            problem = "on both sides of =" if left else "as a variable and no left side"
            raise ConfigurationError(
                f"formula {shown(line)} has {target} {problem}: give the left side a name of its "
                f"own, such as {target}_ = …"
            )
        return cls(line, target, variables, expression)

    def __call__(self, x: Tensor) -> Tensor:
        """Values ``(n, 1)`` at points ``(n, variables)``, in the dtype of the points."""
        columns = dict(zip(self.variables, x.unbind(1), strict=True))
        return _value(self._expression, columns).unsqueeze(1)

    def part_not_finite(self, point: Tensor) -> str | None:
        """The first part whose value at a point ``(variables,)`` is NaN or infinite."""
        columns = dict(zip(self.variables, point.unsqueeze(1), strict=True))
        for part in post_order(self._expression):
            if not bool(_value(part, columns).isfinite().all()):
                return ast.get_source_segment(self.text, part)
        return None

    def box(self, bounds: Mapping[str, Sequence[float]]) -> Bounds:
        """``(low, high)`` of each variable, in their order.

        Args:
            bounds: The same by name.

        Raises:
            ConfigurationError: If a variable has no bounds, a name is not a variable, or a pair is
                not two finite increasing numbers.
        """
        for name in bounds:
            if name in CONSTANTS or name in FUNCTIONS:
                raise ConfigurationError(
                    f"bounds names {name!r}, which has a meaning of its own in a formula: give "
                    "the variable another name"
                )
        for name in self.variables:
            if name not in bounds:
                hint = near(name, [*bounds, *CONSTANTS], repr)
                raise ConfigurationError(
                    f"formula {shown(self.text)}: {name!r} has no bounds: {hint}give them, as in "
                    f"bounds: {{{name}: [-1, 1]}}"
                )
        for name, pair in bounds.items():
            if name not in self.variables:
                raise ConfigurationError(
                    f"bounds names {name!r}, which formula {shown(self.text)} does not use: take "
                    f"it out; the variables are {', '.join(self.variables)}"
                )
            _check_pair(name, pair)
        return tuple((float(bounds[name][0]), float(bounds[name][1])) for name in self.variables)


def _check_pair(name: str, pair: Sequence[float]) -> None:
    cure = f"give low and high, as in bounds: {{{name}: [-1, 1]}}"
    if len(pair) != 2:
        raise ConfigurationError(f"bounds of {name!r} are {list(pair)}, not two numbers: {cure}")
    low, high = pair
    if not (isfinite(low) and isfinite(high)):
        raise ConfigurationError(f"bounds of {name!r} are {low} and {high}, not finite: {cure}")
    if not low < high:
        raise ConfigurationError(f"bounds of {name!r} are {low} and {high}, not rising: {cure}")


def _value(node: ast.expr, columns: Mapping[str, Tensor]) -> Tensor:
    """Value of a checked expression ``(n,)``."""
    any_column = next(iter(columns.values()))
    match node:
        case ast.Constant(value=number):
            return torch.full_like(any_column, float(number))  # type: ignore[arg-type]
        case ast.Name(id=name):
            if name in CONSTANTS:
                return torch.full_like(any_column, CONSTANTS[name])
            return columns[name]
        case ast.UnaryOp(op=sign, operand=operand):
            value = _value(operand, columns)
            return -value if isinstance(sign, ast.USub) else value
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=power)):
            # Squares by multiplication.
            return _value(left, columns) ** float(power)  # type: ignore[arg-type]
        case ast.BinOp(left=left, op=operator, right=right):
            return OPERATORS[type(operator)](_value(left, columns), _value(right, columns))
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return FUNCTIONS[name](_value(argument, columns))
    raise AssertionError(f"{ast.dump(node)} has passed the check of formulas")
