"""What bases that are smooth over the whole grid have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from kanlit.bases.base import Basis, Place
from kanlit.splines import Outside, breakpoints_of

__all__ = ["SmoothBasis"]


@dataclass(frozen=True)
class SmoothBasis(Basis):
    r"""Functions that are each given by one formula over the whole grid [a, b].

    A basis that :attr:`continues` goes on outside the grid by its value and slope at the end,

    .. math:: B(x) = B(\bar x) + B'(\bar x)\,(x - \bar x), \qquad \bar x = \min(\max(x, a), b),

    any other by its formula. A basis of your own needs the formula alone.
    """

    @classmethod
    def from_knots(cls, knots: Tensor, spline_order: int, outside: Outside) -> Self:
        breakpoints = breakpoints_of(knots.double(), spline_order)
        return cls(breakpoints, cls.size(breakpoints.shape[1] - 1, spline_order))

    @property
    def continues(self) -> bool:
        """Whether value and slope go on outside the grid."""
        return True

    @abstractmethod
    def formula(self, x: Tensor, derivative: int) -> Tensor:
        """The functions or their derivatives of any order at ``(in, n)``: ``(count, in, n)``."""

    def locate(self, x: Tensor) -> Place:
        """Where points ``(in, n)`` are evaluated, and how far beyond that they lie.

        The second is left out where the formula holds everywhere.
        """
        if not self.continues:
            return (x,)
        inside = x.clamp(self.breakpoints[:, :1], self.breakpoints[:, -1:])
        return inside, x - inside

    def evaluate(self, place: Place, derivative: int) -> Tensor:
        values = self.formula(place[0], derivative)
        if len(place) == 1 or derivative == 1:
            return values
        beyond = place[1]
        if derivative == 0:
            return values + self.formula(place[0], 1) * beyond
        return torch.where(beyond == 0, values, 0.0)
