"""Equations that evolve a periodic field from an initial one, with a spectral reference."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor

from kanlit.problems.conditions import Condition, dirichlet
from kanlit.problems.equations.base import Equation
from kanlit.problems.equations.spectral import PeriodicReference

__all__ = ["PeriodicEvolution"]


class PeriodicEvolution(Equation):
    """An equation of first order in t, periodic in x, with t in ``[0, 1]``.

    A subclass is a frozen dataclass: its reference is computed once per process for each set of
    parameters.
    """

    coordinates = ("x", "t")

    def conditions(self) -> list[Condition]:
        """The initial field at t = 0, one condition per unknown."""
        names = ["initial"] if len(self.unknowns) == 1 else [f"initial_{u}" for u in self.unknowns]
        return [
            dirichlet(name, {"t": "low"}, partial(_column, self.initial, column), unknown)
            for column, (name, unknown) in enumerate(zip(names, self.unknowns, strict=True))
        ]

    def solution(self, points: Tensor) -> Tensor:
        """The reference ``(n, unknowns)`` at points ``(n, 2)``; at t = 0 the initial field."""
        return torch.where(points[:, 1:] == 0, self.initial(points), _computed(self)(points))

    @abstractmethod
    def initial(self, points: Tensor) -> Tensor:
        """The field at t = 0, ``(n, unknowns)``, at points ``(n, 2)``."""

    @abstractmethod
    def reference(self) -> PeriodicReference:
        """Computes the reference."""


@lru_cache(maxsize=8)
def _computed(equation: PeriodicEvolution) -> PeriodicReference:
    return equation.reference()


def _column(field: Callable[[Tensor], Tensor], column: int, points: Tensor) -> Tensor:
    return field(points)[:, column : column + 1]
