"""Common base class of series, whose terms depend only on the ends of the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kanlit.bases.base import Basis
from kanlit.bases.smooth import SmoothBasis
from kanlit.splines import uniform_breakpoints

__all__ = ["SeriesBasis"]


@dataclass(frozen=True)
class SeriesBasis(SmoothBasis):
    """A series over the grid [a, b]: adding terms does not change the existing ones.

    Its breakpoints are equally spaced and only determine the number of terms. Insertion adds terms
    with zero coefficients, so the curve is bitwise unchanged.
    """

    @classmethod
    def insert_breakpoints(
        cls, breakpoints: Tensor, samples: Tensor, weights: Tensor, grid_size: int, **kwargs: Any
    ) -> Tensor:
        return uniform_breakpoints(breakpoints[:, 0], breakpoints[:, -1], grid_size)

    def insert(self, coefficients: Tensor, old: Basis) -> Tensor:
        kept = coefficients[..., : self.count]
        return torch.nn.functional.pad(kept, (0, self.count - kept.shape[-1]))
