"""A periodic coordinate as a point on a circle."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose, pi
from typing import Any

import torch
from torch import Tensor

from kanlit.nn import Jet

__all__ = ["Circle"]


@dataclass(frozen=True)
class Circle:
    """The periodic coordinate x in ``[low, high]``, as a point on a circle.

    Positions a period apart are the same to the last bit, and so are both ends of the domain if the
    period divides its width.

    Attributes:
        low: Lower end of the domain.
        high: Upper end.
        period: Length after which the solution repeats.
    """

    low: float
    high: float
    period: float

    @property
    def turns(self) -> int:
        """How often the period goes into the width of the domain; 0 if not a whole number."""
        width = self.high - self.low
        count = round(width / self.period)
        return count if isclose(count * self.period, width, rel_tol=1e-9) else 0

    def angle(self, x: Any) -> Any:
        """``2π (x - low) / period``, less whole turns."""
        if isinstance(x, Tensor):
            offset, span = self._offset(x)
            return 2 * pi * (offset / span)
        if isinstance(x, Jet):
            derivatives = {a: t * (2 * pi / self.period) for a, t in x.streams.items() if a}
            return Jet({(): self.angle(x.value), **derivatives}, x.alongs)
        return (x - self.low) * (2 * pi / self.period)  # a formula

    def position(self, x: Any) -> Any:
        """x moved by whole periods into the first one."""
        if isinstance(x, Tensor):
            offset, span = self._offset(x)
            start = x.new_tensor(self.low)
            return torch.where((x >= start) & (x < start + span), x, start + offset)
        if isinstance(x, Jet):
            return Jet({**x.streams, (): self.position(x.value)}, x.alongs)
        return x

    def _offset(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distance from the start of the period, and the period, as exact as the dtype allows."""
        start = x.new_tensor(self.low)
        width = x.new_tensor(self.high) - start if self.turns else x.new_tensor(self.period)
        offset = torch.remainder(x - start, width)
        if self.turns <= 1:
            return offset, width
        span = width / self.turns
        turned = offset / span
        return (turned - turned.floor()) * span, span
