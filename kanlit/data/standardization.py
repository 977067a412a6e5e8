"""How columns are spread: what brings them to a common scale."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Standardization", "spread_of"]

_NUMBERS = 2**20  # in float64 at a time: copies of them are made on the way


@dataclass(frozen=True)
class Standardization:
    """Column means and standard deviations, float64: ``z = (x - mean) / std``.

    Attributes:
        input_mean: ``(in,)``.
        input_std: ``(in,)``; 1 for a constant column.
        target_mean: ``(out,)``.
        target_std: ``(out,)``; 1 for a constant column.
    """

    input_mean: Tensor
    input_std: Tensor
    target_mean: Tensor
    target_std: Tensor

    @classmethod
    def of(cls, inputs: Tensor, targets: Tensor) -> Standardization:
        """The standardisation of ``inputs`` ``(n, in)`` and ``targets`` ``(n, out)``."""
        return cls(*_mean_and_std(inputs), *_mean_and_std(targets))


def _mean_and_std(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation of each column; 1 where a column is constant."""
    together = max(1, _NUMBERS // max(1, len(values)))
    parts = [_of_columns(columns) for columns in values.split(together, 1)]
    return torch.cat([mean for mean, _ in parts]), torch.cat([std for _, std in parts])


def _of_columns(values: Tensor) -> tuple[Tensor, Tensor]:
    values = values.double()
    mean = values.mean(0)
    low, high = values.aminmax(dim=0)
    constant = low == high
    deviations = values - mean
    scale = torch.maximum(high - mean, mean - low)  # taken out, so that squares cannot overflow
    scale = torch.where(constant, torch.ones_like(scale), scale)
    std = scale * deviations.div_(scale).square_().mean(0).sqrt()
    return mean, torch.where(constant, torch.ones_like(std), std)


def spread_of(targets: Tensor) -> Tensor:
    """Median absolute deviation of each column ``(n, out)`` from its median, ``(out,)``, float64.

    Where more than half of a column is one number, the mean deviation from it; 1 where all is.
    """
    values = targets.double()
    deviations = (values - values.median(0).values).abs()
    spread = deviations.median(0).values
    spread = torch.where(spread > 0, spread, deviations.mean(0))
    return torch.where(spread > 0, spread, torch.ones_like(spread))
