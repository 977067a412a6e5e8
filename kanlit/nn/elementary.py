"""Elementary functions with their derivatives of any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial, pi, sqrt

import torch
from torch import Tensor

__all__ = ["ELEMENTARY", "Derivatives", "polynomial", "power", "silu_derivatives"]

Derivatives = Callable[[Tensor, int], list[Tensor]]
"""Value and derivatives at x up to an order; those that the list lacks are zero."""


def silu_derivatives(x: Tensor, highest: int = 2) -> list[Tensor]:
    r"""silu(x) = x·σ(x) and its derivatives up to order ``highest``.

    .. math:: \mathrm{silu}^{(n)} = x\,\sigma^{(n)} + n\,\sigma^{(n-1)},

    where each derivative of σ is a polynomial in σ, by :math:`\sigma' = \sigma - \sigma^2`.
    """
    sigmoid = torch.sigmoid(x)
    fall = 1 - sigmoid
    derivatives = [
        x * sigmoid,
        sigmoid * (1 + x * fall),
        sigmoid * fall * (2 + x * (fall - sigmoid)),
    ]
    lower = [0.0, 1.0, -3.0, 2.0]  # σ'' in powers of σ
    for n in range(3, highest + 1):
        upper = _derived(lower, _LOGISTIC)
        derivatives.append(x * polynomial(upper, sigmoid) + n * polynomial(lower, sigmoid))
        lower = upper
    return derivatives[: highest + 1]


_LOGISTIC = (0.0, 1.0, -1.0)


def polynomial(factors: Sequence[float], x: Tensor) -> Tensor:
    """The polynomial with these factors of 1, x, x², …, by Horner's rule."""
    value = torch.full_like(x, factors[-1])
    for factor in reversed(factors[:-1]):
        value = value * x + factor
    return value


def _derived(factors: Sequence[float], slope: Sequence[float]) -> list[float]:
    """The derivative of a polynomial in f, given f' as a polynomial in f."""
    found = [0.0] * (len(factors) + len(slope) - 2)
    for m, factor in enumerate(factors[1:]):
        for n, other in enumerate(slope):
            found[m + n] += (m + 1) * factor * other
    return found


def _autonomous(function: Callable[[Tensor], Tensor], *slope: float) -> Derivatives:
    """A function f whose derivative is a polynomial in f."""

    def derivatives(x: Tensor, highest: int) -> list[Tensor]:
        value = function(x)
        found, factors = [value], [0.0, 1.0]
        for _ in range(highest):
            factors = _derived(factors, slope)
            found.append(polynomial(factors, value))
        return found

    return derivatives


def _cyclic(*functions: Callable[[Tensor], Tensor]) -> Derivatives:
    """A function whose derivatives repeat after as many as are given."""

    def derivatives(x: Tensor, highest: int) -> list[Tensor]:
        cycle = [function(x) for function in functions[: highest + 1]]
        return [cycle[n % len(functions)] for n in range(highest + 1)]

    return derivatives


def _antiderivative(function: Callable[[Tensor], Tensor], slope: Derivatives) -> Derivatives:
    """A function whose derivative is known."""

    def derivatives(x: Tensor, highest: int) -> list[Tensor]:
        return [function(x), *(slope(x, highest - 1) if highest else [])]

    return derivatives


def power(exponent: float) -> Derivatives:
    """x to a constant exponent."""

    def derivatives(x: Tensor, highest: int) -> list[Tensor]:
        found, factor = [x**exponent], 1.0
        for n in range(highest):
            factor *= exponent - n
            if factor == 0:
                break
            found.append(factor * x ** (exponent - n - 1))
        return found

    return derivatives


def _atan(x: Tensor, highest: int) -> list[Tensor]:
    r"""By :math:`\mathrm{atan}^{(n)}(x) = (n-1)! \cos^n y\, \sin n(y + \pi/2)`, y = atan(x)."""
    y = torch.atan(x)
    return [y] + [
        factorial(n - 1) * torch.cos(y) ** n * torch.sin(n * (y + pi / 2))
        for n in range(1, highest + 1)
    ]


def _erf(x: Tensor, highest: int) -> list[Tensor]:
    r"""By the Hermite polynomials in :math:`\mathrm{erf}'(x) = 2 e^{-x^2} / \sqrt\pi`."""
    found, bell = [torch.erf(x)], 2 / sqrt(pi) * torch.exp(-x.square())
    before, hermite = torch.zeros_like(x), torch.ones_like(x)
    for n in range(highest):
        found.append((-1) ** n * hermite * bell)
        before, hermite = hermite, 2 * x * hermite - 2 * n * before
    return found


_SIGMOID = _autonomous(torch.sigmoid, *_LOGISTIC)

ELEMENTARY: dict[str, Derivatives] = {
    "atan": _atan,
    "cos": _cyclic(torch.cos, lambda x: -torch.sin(x), lambda x: -torch.cos(x), torch.sin),
    "cosh": _cyclic(torch.cosh, torch.sinh),
    "erf": _erf,
    "exp": _cyclic(torch.exp),
    "log": _antiderivative(torch.log, power(-1)),
    "reciprocal": power(-1),
    "sigmoid": _SIGMOID,
    "silu": silu_derivatives,
    "sin": _cyclic(torch.sin, torch.cos, lambda x: -torch.sin(x), lambda x: -torch.cos(x)),
    "sinh": _cyclic(torch.sinh, torch.cosh),
    "softplus": _antiderivative(torch.nn.functional.softplus, _SIGMOID),
    "sqrt": power(0.5),
    "square": power(2),
    "tan": _autonomous(torch.tan, 1.0, 0.0, 1.0),
    "tanh": _autonomous(torch.tanh, 1.0, 0.0, -1.0),
}
