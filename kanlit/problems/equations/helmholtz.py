"""The Helmholtz equation on a square, with a known solution."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, isqrt, pi

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.problems.conditions import Condition, dirichlet
from kanlit.problems.equations.exact import ExactOrSoft, Manner
from kanlit.problems.functions.target import TargetFunction

__all__ = ["Helmholtz"]

_TOLERANCE = 1e-9  # relative, on the square of the wavenumber
_LARGEST = 3e4  # beyond it the tolerance spans more than the gap between eigenvalues


@dataclass(frozen=True, init=False)
class Helmholtz(ExactOrSoft):
    """The equation ``u_x1x1 + u_x2x2 + k² u = q`` on ``[-1, 1]²`` with ``u = 0`` on the boundary.

    The exact solution is ``u = sin(a1 π x1) sin(a2 π x2)``, so that
    ``q = (k² - (a1 π)² - (a2 π)²) u``.

    Args:
        a1: Half waves of the solution per unit length along x1, a whole number from 1.
        a2: The same along x2.
        wavenumber: k, in radians per unit length, from 0.
        conditions: exact, by the ansatz ``u = (1 - x1²) (1 - x2²) N``, or soft.

    Raises:
        ConfigurationError: If an argument is out of range, or ``k²`` is a Dirichlet eigenvalue
            ``(π/2)² (m² + n²)``, ``m, n ≥ 1``, of the negative Laplacian, where the solution
            is not unique.
    """

    a1: int
    a2: int
    wavenumber: float

    coordinates = ("x1", "x2")
    bounds = ((-1.0, 1.0), (-1.0, 1.0))

    def __init__(
        self, a1: int = 1, a2: int = 1, wavenumber: float = 1.0, conditions: Manner = "exact"
    ) -> None:
        super().__init__(conditions, a1=a1, a2=a2, wavenumber=wavenumber)
        for name, value in (("a1", self.a1), ("a2", self.a2)):
            if not value >= 1 or value % 1 != 0:
                raise ConfigurationError(
                    f"{name} must be a whole number from 1, so that u is zero on the boundary "
                    f"but not everywhere, got {value!r}: choose 1, 2, …"
                )
        if not isfinite(self.wavenumber) or not 0 <= self.wavenumber <= _LARGEST:
            raise ConfigurationError(
                f"wavenumber must lie between 0 and {_LARGEST:g}, got {self.wavenumber}: "
                "choose one in that range, such as 1.0"
            )
        if (modes := _dirichlet_modes(self.wavenumber)) is not None:
            raise ConfigurationError(
                f"wavenumber {self.wavenumber} squared is the Dirichlet eigenvalue "
                f"(π/2)²·({modes[0]}² + {modes[1]}²) of the square, so the solution is not "
                f"unique: move it a little, for example to {self.wavenumber * 1.02:.4g}"
            )

    @property
    def dim(self) -> int:
        return 2

    @property
    def target(self) -> TargetFunction:
        """The exact solution as a target function."""
        return TargetFunction(
            name=f"helmholtz_{self.a1}_{self.a2}",
            formula=f"sin({self.a1}π x1) sin({self.a2}π x2)",
            bounds=self.bounds,
            evaluate=lambda x: self.solution(x)[:, 0],
        )

    def solution(self, x: Tensor) -> Tensor:
        """``u(x)`` ``(n, 1)`` at the points ``x`` ``(n, 2)``."""
        return torch.sin(self.a1 * pi * x[:, :1]) * torch.sin(self.a2 * pi * x[:, 1:])

    def source(self, x: Tensor) -> Tensor:
        """``q(x)`` ``(n, 1)`` at the points ``x`` ``(n, 2)``."""
        factor = self.wavenumber**2 - (self.a1 * pi) ** 2 - (self.a2 * pi) ** 2
        return factor * self.solution(x)

    def residual(self, u: Tensor, u_x1x1: Tensor, u_x2x2: Tensor, source: Tensor) -> Tensor:
        """``u_x1x1 + u_x2x2 + k² u - q`` ``(n, 1)``."""
        return u_x1x1 + u_x2x2 + self.wavenumber**2 * u - source

    def conditions(self) -> list[Condition]:
        """``u = 0`` on all four sides."""
        return [dirichlet("boundary", {"x2": "both", "x1": "both"}, exact=self.is_exact)]

    def exact_form(self, u: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
        """``(1 - x1²) (1 - x2²) N`` ``(n, 1)``."""
        return (1 - x1**2) * (1 - x2**2) * u


def _dirichlet_modes(wavenumber: float) -> tuple[int, int] | None:
    """``(m, n)`` with ``k² = (π/2)² (m² + n²)`` to a relative 1e-9, or None."""
    scaled = (2 * wavenumber / pi) ** 2
    nearest = round(scaled)
    if abs(scaled - nearest) > _TOLERANCE * scaled:
        return None
    for m in range(1, isqrt(nearest) + 1):
        n = isqrt(nearest - m * m)
        if n >= 1 and m * m + n * n == nearest:
            return m, n
    return None
