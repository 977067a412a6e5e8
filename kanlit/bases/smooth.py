"""Common base class of bases that are smooth over the whole grid."""

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

    If :attr:`continues_linearly` is true, the functions are extended outside the grid by

    .. math:: B(x) = B(\bar x) + B'(\bar x)\,(x - \bar x), \qquad \bar x = \min(\max(x, a), b),

    otherwise by their formula. A custom basis has to implement only :meth:`formula`.
    """

    @classmethod
    def from_knots(cls, knots: Tensor, spline_order: int, outside: Outside) -> Self:
        breakpoints = breakpoints_of(knots.double(), spline_order)
        return cls(breakpoints, cls.size(breakpoints.shape[1] - 1, spline_order))

    @property
    def continues_linearly(self) -> bool:
        """Whether the functions continue outside the grid by value and slope at its end."""
        return True

    @abstractmethod
    def formula(self, x: Tensor, derivative: int) -> Tensor:
        """The functions or their derivatives of any order at ``(in, n)``: ``(count, in, n)``."""

    def locate(self, x: Tensor) -> Place:
        """Points clamped to the grid and their distances from it, both ``(in, n)``.

        Only the points themselves if the formula also holds outside the grid.
        """
        if not self.continues_linearly:
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
