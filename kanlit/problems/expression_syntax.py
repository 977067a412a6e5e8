"""The syntax of formulas: a whitelist over Python's syntax tree, which is never executed."""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NoReturn

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.hints import near

__all__ = ["CONSTANTS", "FUNCTIONS", "OPERATORS", "parse", "post_order", "shown"]

# What torch has under the same name.
_OF_TORCH = """
    abs acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh cos cosh erf
    exp expm1 log log10 log1p log2 sign sin sinh sqrt tan tanh
"""
FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"ln": torch.log, **{name: getattr(torch, name) for name in _OF_TORCH.split()}}
)
"""Functions of one argument, by name; ``log`` and ``ln`` are to the base e."""

CONSTANTS: Mapping[str, float] = MappingProxyType({"e": math.e, "pi": math.pi})

_LONGEST = 2000  # characters, which Python's parser handles in any form
_DEEPEST = 100  # nesting depth, which bounds the recursion of the evaluation

OPERATORS: Mapping[type[ast.operator], Callable[[Tensor, Tensor], Tensor]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_SIGNS = (ast.USub, ast.UAdd)

# Other syntax in the words of a user; by default the name of the syntax tree node.
_WORDS: Mapping[type[ast.AST], str] = {
    ast.AnnAssign: "an annotation (:)",
    ast.Attribute: "access to an attribute (a dot)",
    ast.AugAssign: "an assignment with an operator",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.BoolOp: "and / or",
    ast.ClassDef: "a class",
    ast.Compare: "a comparison",
    ast.Delete: "del",
    ast.Dict: "a dict",
    ast.DictComp: "a comprehension",
    ast.FloorDiv: "//",
    ast.FunctionDef: "a def",
    ast.GeneratorExp: "a comprehension",
    ast.IfExp: "if … else",
    ast.Import: "an import",
    ast.ImportFrom: "an import",
    ast.JoinedStr: "text",
    ast.Lambda: "a lambda",
    ast.List: "a list",
    ast.ListComp: "a comprehension",
    ast.MatMult: "@",
    ast.Mod: "%",
    ast.NamedExpr: ":=",
    ast.Set: "a set",
    ast.SetComp: "a comprehension",
    ast.Slice: "a slice",
    ast.Starred: "an argument with a star",
    ast.Subscript: "an index in brackets",
    ast.Tuple: "a comma",
}

_CURES: Mapping[type[ast.AST], str] = {
    ast.BitXor: "write ** for powers",
    ast.Tuple: "write decimals with a point",
}
_CURE = "take numbers, variables, + - * / ** and functions such as sin(x)"


def parse(text: str) -> tuple[str, str | None, ast.expr]:
    """Parses a formula into its text on one line, the name on the left, if any, and the right side.

    Raises:
        ConfigurationError: If it is empty, too long or too deeply nested, has a syntax error, or
            contains syntax that is not on the whitelist.
    """
    line = " ".join(text.split())
    if not line:
        raise ConfigurationError("formula is empty: write one such as 'y = sin(3*x)*exp(-z)'")
    if len(line) > _LONGEST:
        raise ConfigurationError(
            f"formula {shown(line)} has {len(line)} characters, more than {_LONGEST}: shorten it"
        )
    try:
        with warnings.catch_warnings(action="ignore"):
            body = ast.parse(line).body
    except SyntaxError as error:
        place = f" at character {error.offset}" if error.offset else ""
        raise ConfigurationError(
            f"formula {shown(line)}: {error.msg}{place}: correct it there"
        ) from None
    except (MemoryError, RecursionError):
        raise _too_deep(line) from None
    except ValueError as error:
        raise ConfigurationError(f"formula {shown(line)}: {error}: correct it") from None
    if len(body) != 1:
        raise ConfigurationError(
            f"formula {shown(line)} holds {len(body)} statements: write one, such as 'y = x**2'"
        )
    name, expression = _sides(line, body[0])
    _check_depth(line, expression)
    _check(line, expression)
    return line, name, expression


def shown(line: str) -> str:
    """A formula in quotes, truncated if it is long."""
    return repr(line if len(line) <= 60 else line[:57] + "...")


def _sides(line: str, statement: ast.stmt) -> tuple[str | None, ast.expr]:
    if isinstance(statement, ast.Expr):
        return None, statement.value
    if not isinstance(statement, ast.Assign):
        _refuse(line, statement)
    if len(statement.targets) > 1:
        raise ConfigurationError(
            f"formula {shown(line)} has more than one =: write one, such as 'y = x**2'"
        )
    (left,) = statement.targets
    if not isinstance(left, ast.Name):
        raise ConfigurationError(
            f"formula {shown(line)}: the left side of = must be a name: write 'y = …'"
        )
    if left.id in FUNCTIONS or left.id in CONSTANTS:
        raise ConfigurationError(
            f"formula {shown(line)}: {left.id} on the left side has a meaning already: "
            "write 'y = …'"
        )
    return left.id, statement.value


def _check_depth(line: str, expression: ast.expr) -> None:
    level: list[ast.AST] = [expression]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise _too_deep(line)


def _too_deep(line: str) -> ConfigurationError:
    return ConfigurationError(
        f"formula {shown(line)} has more than {_DEEPEST} expressions inside one another: set "
        "parentheses around parts of a long sum, or shorten it"
    )


def _check(line: str, node: ast.AST) -> None:
    """Raises for the first part of a formula that is not on the whitelist."""
    match node:
        case ast.Constant(value=value):
            _check_number(line, node, value)
        case ast.Name(id=name):
            if name in FUNCTIONS:
                _fail(line, node, f"{name} is a function: write {name}(…)")
        case ast.BinOp(left=left, op=between, right=right):
            if type(between) not in OPERATORS:
                _refuse(line, between, node)
            _check(line, left)
            _check(line, right)
        case ast.UnaryOp(op=sign, operand=operand):
            if not isinstance(sign, _SIGNS):
                _refuse(line, sign, node)
            _check(line, operand)
        case ast.Call():
            _check_call(line, node)
        case _:
            _refuse(line, node)


def _check_number(line: str, node: ast.Constant, value: object) -> None:
    if isinstance(value, str | bytes):
        _fail(line, node, "text is not allowed: take numbers, variables and functions")
    if isinstance(value, bool) or not isinstance(value, int | float):
        _fail(line, node, f"{value} is not a real number: write one such as 0.5")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer too large for float64
        finite = False
    if not finite:
        _fail(line, node, "the number is beyond float64: take one under 1.8e308")


def _check_call(line: str, node: ast.Call) -> None:
    if not isinstance(node.func, ast.Name):
        if isinstance(node.func, ast.Constant | ast.BinOp | ast.UnaryOp):
            _fail(line, node, "a number is no function: write * between the factors")
        _check(line, node.func)
        _fail(line, node, "only functions by name can be called: write one such as sin(x)")
    name = node.func.id
    if name not in FUNCTIONS:
        known = ", ".join(FUNCTIONS)
        _fail(
            line,
            node,
            f"unknown function {name!r}: {near(name, FUNCTIONS, repr)}choose from {known}",
        )
    if node.keywords:
        _fail(line, node, f"{name} takes no argument by keyword: write {name}(x)")
    if len(node.args) != 1:
        _fail(line, node, f"{name} takes one argument, got {len(node.args)}: write {name}(x)")
    _check(line, node.args[0])


def _refuse(line: str, node: ast.AST, place: ast.AST | None = None) -> NoReturn:
    word = _WORDS.get(type(node), type(node).__name__)
    _fail(line, place or node, f"{word} is not allowed: {_CURES.get(type(node), _CURE)}")


def _fail(line: str, node: ast.AST, problem: str) -> NoReturn:
    bytes_before = getattr(node, "col_offset", 0)
    place = len(line.encode()[:bytes_before].decode()) + 1
    raise ConfigurationError(f"formula {shown(line)}, character {place}: {problem}")


def post_order(node: ast.expr) -> Iterator[ast.expr]:
    """The parts of a checked expression in post-order."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and not _names_a_function(node, child):
            yield from post_order(child)
    yield node


def _names_a_function(node: ast.expr, child: ast.expr) -> bool:
    return isinstance(node, ast.Call) and child is node.func
