"""Advection of a sine around a circle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from typing import ClassVar

import torch
from torch import Tensor

from kanlit.problems.conditions import Condition, dirichlet
from kanlit.problems.equations.base import Equation
from kanlit.problems.equations.checks import check_between

__all__ = ["Advection"]


@dataclass(frozen=True)
class Advection(Equation):
    """The equation ``u_t + c u_x = 0`` for x in ``[0, 2π]`` and t in ``[0, 1]``, periodic in x.

    It starts from ``u = sin(x)``; the exact solution is ``u = sin(x - ct)``.

    Attributes:
        speed: c, from 0.01 to 200.

    Raises:
        ConfigurationError: If an argument is out of range.

    Source: Krishnapriyan et al., NeurIPS 2021, arXiv 2109.01050, section 3.1.
    """

    speed: float = 50.0

    coordinates = ("x", "t")
    bounds = ((0.0, 2 * pi), (0.0, 1.0))
    periodic: ClassVar[Mapping[str, float]] = {"x": 2 * pi}

    def __post_init__(self) -> None:
        check_between("speed", self.speed, 0.01, 200.0, 50.0)

    def residual(self, u_t: Tensor, u_x: Tensor) -> Tensor:
        """``u_t + c u_x`` ``(n, 1)``."""
        return u_t + self.speed * u_x

    def conditions(self) -> list[Condition]:
        """The sine at t = 0."""
        return [dirichlet("initial", {"t": "low"}, self.solution)]

    def solution(self, points: Tensor) -> Tensor:
        """``u`` ``(n, 1)`` at points ``(n, 2)``."""
        x, t = points.split(1, 1)
        return torch.sin(x - self.speed * t)
