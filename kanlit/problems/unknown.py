"""Unknown coefficients of an equation: numbers that are trained together with the solution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, isfinite, log
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError

if TYPE_CHECKING:
    from kanlit.problems.equations.base import Equation

__all__ = ["CoefficientColumns", "Unknown", "start_columns", "unknown_coefficients"]

CoefficientColumns = Callable[[Tensor], Mapping[str, Tensor]]  # values (n, 1) at n points, by name


@dataclass(frozen=True)
class Unknown:
    r"""A coefficient of an equation that is found from observations.

    It is a class attribute of the equation, and its name a parameter of the residual::

        class Heat(Equation):
            diffusivity = Unknown(1.0, low=0.0)

            def residual(self, u_t, u_xx, diffusivity):
                return u_t - diffusivity * u_xx

    A free parameter θ, 0 at the start, is trained for it. With the start v, and the bounds a and b,

    .. math:: c = v + \theta \max(|v|, 1), \quad a + (v - a)\, e^\theta, \quad
              b - (b - v)\, e^\theta, \quad a + (b - a)\, \frac{1}{1 + e^{-(\theta + \theta_0)}}

    without bounds, with the lower, the upper or both of them, where θ₀ gives c = v at θ = 0.

    Attributes:
        value: v, at the start of training.
        low: a, the lower bound, which c does not reach; none by default.
        high: b, the upper bound.

    Raises:
        ConfigurationError: The value is not strictly between the bounds.

    Example:
        >>> Unknown(2.0, low=0.0).at(torch.tensor([0.0, 1.0]))
        tensor([2.0000, 5.4366])
    """

    value: float
    low: float = -inf
    high: float = inf

    def __post_init__(self) -> None:
        numbers: tuple[Any, ...] = (self.value, self.low, self.high)  # as written by the user
        if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
            raise ConfigurationError(
                f"Unknown takes numbers, got {', '.join(map(repr, numbers))}: write "
                f"Unknown(1.0, low=0.0)"
            )
        if not self.low < self.high:
            raise ConfigurationError(
                f"Unknown({self.value:g}) has the bounds {self.low:g} and {self.high:g}: give the "
                f"lower one as low, and the higher as high"
            )
        if not (isfinite(self.value) and self.low < self.value < self.high):
            raise ConfigurationError(
                f"Unknown({self.value:g}) is not strictly between its bounds {self.low:g} and "
                f"{self.high:g}: start from a value inside"
            )

    def at(self, theta: Tensor) -> Tensor:
        """c for θ of any shape."""
        v, a, b = self.value, self.low, self.high
        if isfinite(a) and isfinite(b):
            return a + (b - a) * torch.sigmoid(theta + log((v - a) / (b - v)))
        if isfinite(a):
            return a + (v - a) * theta.exp()
        if isfinite(b):
            return b - (b - v) * theta.exp()
        return v + max(abs(v), 1.0) * theta


def unknown_coefficients(equation: Equation) -> dict[str, Unknown]:
    """The unknown coefficients of an equation by name, in alphabetical order."""
    found: dict[str, Any] = {}
    for owner in (*reversed(type(equation).__mro__), equation):
        found |= vars(owner)
    return {name: each for name, each in sorted(found.items()) if isinstance(each, Unknown)}


def start_columns(unknowns: Mapping[str, Unknown]) -> CoefficientColumns:
    """The values at the start of training, at any points."""
    return lambda x: {name: x.new_full((len(x), 1), u.value) for name, u in unknowns.items()}
