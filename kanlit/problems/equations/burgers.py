"""The viscous Burgers equation with a shock, and its Cole-Hopf solution."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, pi, sqrt

import torch
from torch import Tensor

from kanlit.problems.conditions import Condition, dirichlet
from kanlit.problems.equations.checks import check_between
from kanlit.problems.equations.exact import ExactOrSoft, Manner

__all__ = ["Burgers"]

_TAIL = 40.0  # the integrand beyond the quadrature range is e^-40 of the total
_NODES_PER_WIDTH = 2.0  # nodes per standard deviation of the narrowest peak


@dataclass(frozen=True, init=False)
class Burgers(ExactOrSoft):
    r"""The equation ``u_t + u u_x = ν u_xx`` for x in ``[-1, 1]`` and t in ``[0, 1]``.

    It starts from ``u = -sin(πx)`` and is 0 at both walls. The solution is, by Cole and Hopf,

    .. math:: u(x, t) = -\frac{\int \sin(πy)\, e^{-E(y)}\, dy}{\int e^{-E(y)}\, dy}, \quad
              E(y) = \frac{\cos πy}{2πν} + \frac{(x - y)^2}{4νt},

    here by the trapezoidal rule, which converges exponentially on such integrands: two nodes per
    standard deviation of the narrowest peak, which gives float64's accuracy.

    Args:
        viscosity: ν, from 0.001 to 10. At 0.01/π the front at x = 0 is some 0.01 wide.
        conditions: soft, or exact, by the ansatz ``u = -sin(πx) + t (1 - x²) N``. At a steep front
            soft conditions give smaller errors, since N must cancel the sine there.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Basdevant et al., Computers & Fluids 14 (1986).
    """

    viscosity: float

    coordinates = ("x", "t")
    bounds = ((-1.0, 1.0), (0.0, 1.0))

    def __init__(self, viscosity: float = 0.01 / pi, conditions: Manner = "soft") -> None:
        super().__init__(conditions, viscosity=viscosity)
        check_between("viscosity", self.viscosity, 1e-3, 10.0, 0.01 / pi)

    def residual(self, u: Tensor, u_t: Tensor, u_x: Tensor, u_xx: Tensor) -> Tensor:
        """``u_t + u u_x - ν u_xx`` ``(n, 1)``."""
        return u_t + u * u_x - self.viscosity * u_xx

    def conditions(self) -> list[Condition]:
        """0 at the walls, and the sine at t = 0."""
        return [
            dirichlet("walls", {"x": "both"}, exact=self.is_exact),
            dirichlet("initial", {"t": "low"}, _initial, exact=self.is_exact),
        ]

    def exact_form(self, u: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """``-sin(πx) + t (1 - x²) N`` ``(n, 1)``."""
        return -torch.sin(pi * x) + t * (1 - x**2) * u

    def solution(self, points: Tensor) -> Tensor:
        """``u`` ``(n, 1)`` at points ``(n, 2)``."""
        x, t = points.split(1, 1)
        v = self.viscosity
        # y = x - r √t s with s in [-1, 1]. At s = ±1 the Gaussian outweighs the most that the
        # cosine can gain, 1/(πν).
        r = sqrt(4 / pi + 4 * v * _TAIL)
        # The peak's curvature is at most 1/(2νt) + π/(2ν), for t up to 1.
        density = _NODES_PER_WIDTH * (sqrt((1 + pi) / (2 * v)) + 1)  # 1 for the sine itself
        count = ceil(2 * r * density)
        s = torch.linspace(-1, 1, count + 1, dtype=points.dtype, device=points.device)
        y = x - r * t.sqrt() * s
        weights = torch.softmax(-torch.cos(pi * y) / (2 * pi * v) - (r * s).square() / (4 * v), 1)
        return -(torch.sin(pi * y) * weights).sum(1, keepdim=True)


def _initial(points: Tensor) -> Tensor:
    return -torch.sin(pi * points[:, :1])
