"""A block of residuals, for least-squares optimizers and losses."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Residual"]


class Residual(NamedTuple):
    """A block of residuals ``(n, targets)`` and its weight in the loss."""

    values: Tensor
    weight: float = 1.0
