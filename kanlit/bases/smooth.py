"""What bases that are smooth over the whole grid have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["SmoothBasis"]


@dataclass(frozen=True)
class SmoothBasis(ABC):
    r"""Functions of ``in`` features, each given by one formula over the whole grid [a, b].

    A basis that :attr:`continues` goes on outside the grid by its value and slope at the end,

    .. math:: B(x) = B(\bar x) + B'(\bar x)\,(x - \bar x), \qquad \bar x = \min(\max(x, a), b),

    any other by its formula. A :class:`kanlit.splines.Basis`, as piecewise ones are.

    Attributes:
        breakpoints: The breakpoints ``(in, G+1)``; the first and the last are a and b.
        count: Number of functions, G+k.
    """

    breakpoints: Tensor
    count: int

    @property
    def continues(self) -> bool:
        """Whether value and slope go on outside the grid."""
        return True

    @abstractmethod
    def formula(self, x: Tensor, derivative: int) -> Tensor:
        """The functions or their derivatives of order 0 to 2 at ``(in, n)``: ``(count, in, n)``."""

    def locate(self, x: Tensor) -> tuple[Tensor, ...]:
        """Where points ``(in, n)`` are evaluated, and how far beyond that they lie.

        The second is left out where the formula holds everywhere.
        """
        if not self.continues:
            return (x,)
        inside = x.clamp(self.breakpoints[:, :1], self.breakpoints[:, -1:])
        return inside, x - inside

    def bases(self, place: tuple[Tensor, ...], derivative: int, count: int) -> Tensor:
        """All functions or their derivatives at located points, ``(count, in, n)``."""
        values = self.formula(place[0], derivative)
        if len(place) == 1 or derivative == 1:
            return values
        beyond = place[1]
        if derivative == 0:
            return values + self.formula(place[0], 1) * beyond
        return torch.where(beyond == 0, values, 0.0)

    def values(self, x: Tensor, derivative: int = 0) -> Tensor:
        """All functions or their derivatives at points ``(n, in)``: ``(n, in, count)``."""
        basis = self.cast(x.dtype)
        return basis.bases(basis.locate(x.T), derivative, self.count).permute(2, 1, 0)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors, by the attribute that holds them."""
        return {name: t for name, t in vars(self).items() if isinstance(t, Tensor)}

    def cast(self, dtype: torch.dtype) -> Self:
        """The same in ``dtype``."""
        return self.with_tensors({name: t.to(dtype) for name, t in self.tensors().items()})

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Self:
        """The same with other :meth:`tensors`."""
        changed: dict[str, Any] = dict(tensors)
        return replace(self, **changed)
