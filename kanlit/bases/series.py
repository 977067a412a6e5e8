"""What series have in common: terms that stand nowhere, so that only the grid's ends count."""

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
    """Terms over the grid [a, b], of which the first ones do not depend on how many there are.

    Its breakpoints are evenly spaced: they say how many terms there are. An insertion adds terms
    and keeps the curve to the last bit.
    """

    @classmethod
    def insert_breakpoints(
        cls, breakpoints: Tensor, samples: Tensor, weights: Tensor, grid_size: int, **kwargs: Any
    ) -> Tensor:
        return uniform_breakpoints(breakpoints[:, 0], breakpoints[:, -1], grid_size)

    def insert(self, coefficients: Tensor, old: Basis) -> Tensor:
        kept = coefficients[..., : self.count]
        return torch.nn.functional.pad(kept, (0, self.count - kept.shape[-1]))
