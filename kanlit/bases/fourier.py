"""Sines and cosines."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Any

import torch
from torch import Tensor

from kanlit.bases.base import Basis
from kanlit.bases.series import SeriesBasis

__all__ = ["FourierBasis"]


@dataclass(frozen=True)
class FourierBasis(SeriesBasis):
    r"""Terms of a Fourier series whose period is twice the grid [a, b].

    .. math:: 1, \sin\theta, \cos\theta, \sin 2\theta, \cos 2\theta, \dots, \qquad
              \theta = \pi\,\frac{x - (a + b)/2}{b - a}

    With twice the period, functions need not be equal at both ends. The range of the grid is
    fixed, because another period would span another space of functions.

    Source: J. Xu et al., FourierKAN-GCF, arXiv 2406.01034, which uses θ = x.
    """

    @classmethod
    def place_breakpoints(
        cls, breakpoints: Tensor, samples: Tensor, weights: Tensor, grid_size: int, **kwargs: Any
    ) -> Tensor:
        """Keeps the range: another period would span another space of functions."""
        return cls.insert_breakpoints(breakpoints, samples, weights, grid_size)

    def project(self, coefficients: Tensor, old: Basis) -> Tensor:
        return self.insert(coefficients, old)

    def fit_to_samples(self, coefficients: Tensor, old: Basis, samples: Tensor) -> Tensor:
        return self.insert(coefficients, old)

    @property
    def continues_linearly(self) -> bool:
        return False

    def formula(self, x: Tensor, derivative: int) -> Tensor:
        low, high = self.breakpoints[:, :1], self.breakpoints[:, -1:]
        frequency = pi / (high - low)
        numbers = torch.arange(1, self.count // 2 + 1, dtype=x.dtype, device=x.device)
        rates = numbers[:, None, None] * frequency
        angles = rates * (x - (low + high) / 2)
        # Each derivative shifts the phase by a quarter period: sin to cos, cos to -sin.
        sine, cosine = angles.sin(), angles.cos()
        shifted = [(sine, cosine), (cosine, -sine), (-sine, -cosine), (-cosine, sine)]
        sine, cosine = shifted[derivative % 4]
        scale = rates**derivative
        waves = torch.stack([scale * sine, scale * cosine], 1).flatten(0, 1)
        constant = torch.zeros_like(x) if derivative else torch.ones_like(x)
        return torch.cat([constant.unsqueeze(0), waves])[: self.count]
