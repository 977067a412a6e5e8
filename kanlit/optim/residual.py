"""A block of residuals: what a least-squares optimiser and a module's loss are made of."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Residual"]


class Residual(NamedTuple):
    """A block of residuals ``(n, targets)`` and its weight in the loss."""

    values: Tensor
    weight: float = 1.0
