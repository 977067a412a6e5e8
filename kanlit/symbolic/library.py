"""The library of functions that can replace an edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import sympy

__all__ = ["LIBRARY", "Candidate", "Search"]

Array = np.ndarray[Any, np.dtype[np.float64]]

Search = Literal["none", "shift", "pole", "rate", "wave", "bump", "interval"]

_X = sympy.Symbol("x", real=True)


@dataclass(frozen=True)
class Candidate:
    r"""A function f that can replace an edge as :math:`c\,f(a x + b) + d`.

    Attributes:
        name: Its usual name.
        form: f as a function of sympy expressions.
        complexity: Its complexity; 1 for a line.
        search: Which of a and b are searched for, and where, see :mod:`kanlit.symbolic.fit`:
            ``none`` (a line needs neither), ``shift`` (b, for f(ax) ∝ f(x)), ``pole`` (b beyond
            the samples, for f(ax) ∝ f(x) on x > 0), ``rate`` (a, for exp), ``wave``, ``bump``
            (both) and ``interval`` (both, with a x + b in (-1, 1)).
    """

    name: str
    form: Callable[[sympy.Expr], sympy.Expr]
    complexity: int
    search: Search

    @cached_property
    def values(self) -> Callable[[Array], Array]:
        """f for float64 arrays of any shape."""
        return sympy.lambdify(_X, self.form(_X), "numpy")

    @cached_property
    def slopes(self) -> Callable[[Array], Array]:
        """f' for float64 arrays of any shape."""
        return sympy.lambdify(_X, sympy.diff(self.form(_X), _X), "numpy")

    def applied(self, argument: sympy.Expr) -> sympy.Expr:
        r"""f(argument), with redundant inner constants moved outside.

        exp(u + β) becomes :math:`e^\beta \exp(u)`. For powers, ``|x|`` and log, the largest
        coefficient in the argument becomes ±1. Least squares need constants without redundancy.
        """
        argument = sympy.sympify(argument)
        constant, rest = argument.as_coeff_Add()
        if self.search == "rate" and constant and rest:
            return sympy.Float(float(self.form(constant))) * self.form(rest)
        if self.search in ("shift", "pole") and rest:
            scale = max(abs(float(t.as_coeff_Mul()[0])) for t in sympy.Add.make_args(rest))
            scaled = sympy.Add(*(_divided(t, scale) for t in sympy.Add.make_args(argument)))
            if self.name == "log":
                return self.form(scaled) + sympy.log(sympy.Float(scale))
            return self.form(scaled) * sympy.Float(float(self.form(sympy.Float(scale))))
        return self.form(argument)


def _divided(term: sympy.Expr, scale: float) -> sympy.Expr:
    coefficient, rest = term.as_coeff_Mul()
    quotient = float(coefficient) / scale
    if abs(quotient) == 1:
        return int(quotient) * rest
    return sympy.Float(quotient) * rest


_TABLE: tuple[Candidate, ...] = (
    Candidate("x", lambda x: x, 1, "none"),
    Candidate("x^2", lambda x: x**2, 2, "shift"),
    Candidate("x^3", lambda x: x**3, 3, "shift"),
    Candidate("x^4", lambda x: x**4, 3, "shift"),
    Candidate("abs", sympy.Abs, 2, "shift"),
    Candidate("sqrt", sympy.sqrt, 3, "pole"),
    Candidate("1/x", lambda x: 1 / x, 3, "pole"),
    Candidate("1/x^2", lambda x: x**-2, 4, "pole"),
    Candidate("log", sympy.log, 3, "pole"),
    Candidate("exp", sympy.exp, 2, "rate"),
    Candidate("sin", sympy.sin, 3, "wave"),  # and cos, by its phase
    Candidate("tanh", sympy.tanh, 4, "bump"),
    Candidate("arctan", sympy.atan, 4, "bump"),
    Candidate("Gaussian", lambda x: sympy.exp(-(x**2)), 4, "bump"),
    Candidate("1/(1+x^2)", lambda x: 1 / (1 + x**2), 4, "bump"),
    Candidate("1/cosh", lambda x: 1 / sympy.cosh(x), 4, "bump"),
    Candidate("arctanh", sympy.atanh, 4, "interval"),
)

LIBRARY: Mapping[str, Candidate] = MappingProxyType({each.name: each for each in _TABLE})
"""All functions by name."""
