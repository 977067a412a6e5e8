"""Sines and cosines."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Any

import torch
from torch import Tensor

from kanlit.bases.base import Basis, Place
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

    def locate(self, x: Tensor) -> Place:
        """The sines and cosines of all multiples of θ, both ``(count // 2, in, n)``."""
        low, high = self.breakpoints[:, :1], self.breakpoints[:, -1:]
        angles = self._rates() * (x - (low + high) / 2)
        return angles.sin(), angles.cos()

    def evaluate(self, place: Place, derivative: int) -> Tensor:
        sine, cosine = place
        # Each derivative shifts the phase by a quarter period: sin to cos, cos to -sin.
        shifted = [(sine, cosine), (cosine, -sine), (-sine, -cosine), (-cosine, sine)]
        waves = torch.stack(shifted[derivative % 4], 1)
        if derivative:
            waves = self._rates().unsqueeze(1) ** derivative * waves
        constant = torch.zeros_like(sine[:1]) if derivative else torch.ones_like(sine[:1])
        return torch.cat([constant, waves.flatten(0, 1)])[: self.count]

    def formula(self, x: Tensor, derivative: int) -> Tensor:
        return self.evaluate(self.locate(x), derivative)

    def _rates(self) -> Tensor:
        """Factors of x in the multiples of θ, ``(count // 2, in, 1)``."""
        frequency = pi / (self.breakpoints[:, -1:] - self.breakpoints[:, :1])
        numbers = torch.arange(1, self.count // 2 + 1).to(frequency)
        return numbers[:, None, None] * frequency
