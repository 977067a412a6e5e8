"""Steady flow in a square cavity that is driven by its lid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kanlit.problems.conditions import Condition, dirichlet
from kanlit.problems.equations.checks import check_between
from kanlit.problems.equations.corner_flow import corner_flow
from kanlit.problems.equations.exact import ExactOrSoft, Manner

__all__ = ["GHIA_U", "GHIA_V", "Cavity"]

# Ghia, Ghia and Shin, J. Comput. Phys. 48 (1982), tables I and II, Re = 100.
GHIA_U = (  # y, u at x = ½
    (0.0547, -0.03717),
    (0.0625, -0.04192),
    (0.0703, -0.04775),
    (0.1016, -0.06434),
    (0.1719, -0.10150),
    (0.2813, -0.15662),
    (0.4531, -0.21090),
    (0.5000, -0.20581),
    (0.6172, -0.13641),
    (0.7344, 0.00332),
    (0.8516, 0.23151),
    (0.9531, 0.68717),
    (0.9609, 0.73722),
    (0.9688, 0.78871),
    (0.9766, 0.84123),
)
GHIA_V = (  # x, v at y = ½
    (0.0625, 0.09233),
    (0.0703, 0.10091),
    (0.0781, 0.10890),
    (0.0938, 0.12317),
    (0.1563, 0.16077),
    (0.2266, 0.17507),
    (0.2344, 0.17527),
    (0.5000, 0.05454),
    (0.8047, -0.24533),
    (0.8594, -0.22445),
    (0.9063, -0.16914),
    (0.9453, -0.10313),
    (0.9531, -0.08864),
    (0.9609, -0.07391),
    (0.9688, -0.05906),
)


@dataclass(frozen=True, init=False)
class Cavity(ExactOrSoft):
    """The steady Navier-Stokes equations on ``[0, 1]²``, with the velocity (u, v) and pressure p::

        u u_x + v u_y + p_x = (u_xx + u_yy) / Re
        u v_x + v v_y + p_y = (v_xx + v_yy) / Re
        u_x + v_y = 0

    The lid ``y = 1`` moves with u = 1 (regularised: ``4x (1 - x)``); the other walls rest. The
    pressure is determined up to a constant, so there is no ``solution``. At Re = 100
    and with the lid at 1, the test is the relative L2 error of u and v, both together, on
    :data:`GHIA_U` and :data:`GHIA_V`, velocities on the centrelines; otherwise, the residuals.

    Where the lid meets the walls, the velocity jumps and the pressure is infinite. With exact
    conditions the ansatz is, with the velocity and pressure (U, V, P) of the
    :func:`~kanlit.problems.equations.corner_flow.corner_flow` in both corners, blended,
    ``(u, v) = (U, V) s(y) + 16 x (1 - x) y (1 - y) (N₁, N₂)`` and ``p = P / Re + N₃``, where
    ``s(z) = z² (3 - 2z)``. The networks are then left with what is smooth. The residuals of the
    momentum are multiplied by the distances from both corners, where they grow like 1/r.

    Args:
        reynolds: Re, from 1 to 5000.
        regularised: Whether the lid's velocity vanishes at its ends.
        conditions: exact, by the ansatz, or soft.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Ghia, Ghia and Shin, J. Comput. Phys. 48 (1982).
    """

    reynolds: float
    regularised: bool

    coordinates = ("x", "y")
    unknowns = ("u", "v", "p")
    bounds = ((0.0, 1.0), (0.0, 1.0))

    def __init__(
        self, reynolds: float = 100.0, regularised: bool = False, conditions: Manner = "exact"
    ) -> None:
        super().__init__(conditions, reynolds=reynolds, regularised=regularised)
        check_between("reynolds", self.reynolds, 1.0, 5000.0, 100.0)

    def residual(
        self,
        u: Tensor,
        v: Tensor,
        u_x: Tensor,
        u_y: Tensor,
        v_x: Tensor,
        v_y: Tensor,
        p_x: Tensor,
        p_y: Tensor,
        u_xx: Tensor,
        u_yy: Tensor,
        v_xx: Tensor,
        v_yy: Tensor,
        x: Tensor,
        y: Tensor,
    ) -> dict[str, Tensor]:
        """Both components of ``momentum``, times the distances, and ``mass``, ``(n, 1)`` each."""
        below = (1 - y) ** 2
        distances = torch.sqrt((x**2 + below) * ((1 - x) ** 2 + below))
        momentum_x = u * u_x + v * u_y + p_x - (u_xx + u_yy) / self.reynolds
        momentum_y = u * v_x + v * v_y + p_y - (v_xx + v_yy) / self.reynolds
        return {
            "momentum_x": distances * momentum_x,
            "momentum_y": distances * momentum_y,
            "mass": u_x + v_y,
        }

    def conditions(self) -> list[Condition]:
        """The lid's velocity, and none at the other walls."""
        return [
            dirichlet("lid_u", {"y": "high"}, self.lid, exact=self.is_exact),
            dirichlet("lid_v", {"y": "high"}, unknown="v", exact=self.is_exact),
            dirichlet("walls_u", {"x": "both", "y": "low"}, exact=self.is_exact),
            dirichlet("walls_v", {"x": "both", "y": "low"}, unknown="v", exact=self.is_exact),
        ]

    def exact_form(self, u: Tensor, v: Tensor, p: Tensor, x: Tensor, y: Tensor) -> dict[str, Any]:
        """The blended flows of both corners, and the network's output ``(n, 1)``."""
        along, down, pressure = corner_flow(x, 1 - y)
        along_right, down_right, pressure_right = corner_flow(1 - x, 1 - y)
        right, height = _smooth_step(x), _smooth_step(y)
        left = 1 - right
        lid = 4 * x * (1 - x) if self.regularised else 1.0
        inside = 16 * x * (1 - x) * y * (1 - y)
        return {
            "u": lid * height * (along * left + along_right * right) + inside * u,
            "v": lid * height * (down_right * right - down * left) + inside * v,
            "p": lid * (pressure * left - pressure_right * right) / self.reynolds + p,
        }

    def lid(self, points: Tensor) -> Tensor:
        """Velocity of the lid ``(n, 1)`` at points ``(n, 2)``."""
        x = points[:, :1]
        return 4 * x * (1 - x) if self.regularised else torch.ones_like(x)

    def measured_error(self, solution: Callable[[Tensor], Tensor]) -> float | None:
        """The error on the values of Ghia et al.; None for another Re or lid."""
        if self.reynolds != 100 or self.regularised:
            return None
        points = [(0.5, y) for y, _ in GHIA_U] + [(x, 0.5) for x, _ in GHIA_V]
        given = torch.tensor([value for _, value in (*GHIA_U, *GHIA_V)]).double()
        with torch.no_grad():
            found = solution(torch.tensor(points).double())
        u, v = found[: len(GHIA_U), 0], found[len(GHIA_U) :, 1]
        return float((torch.cat([u, v]) - given).norm() / given.norm())


def _smooth_step(z: Tensor) -> Tensor:
    """0 at 0 and 1 at 1, with no slope at either."""
    return z**2 * (3 - 2 * z)
