"""How columns are spread: what brings them to a common scale."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Standardization", "spread_of"]


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
    values = values.double()
    mean = values.mean(0)
    constant = values.amax(0) == values.amin(0)
    scale = (values - mean).abs().amax(0)  # taken out, so that the squares cannot overflow
    scale = torch.where(constant, torch.ones_like(scale), scale)
    std = scale * ((values - mean) / scale).square().mean(0).sqrt()
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
