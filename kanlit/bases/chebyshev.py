"""Chebyshev polynomials over the range of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kanlit.bases.series import SeriesBasis

__all__ = ["ChebyshevBasis"]


@dataclass(frozen=True)
class ChebyshevBasis(SeriesBasis):
    r"""Chebyshev polynomials of degree 0 to count - 1.

    .. math:: T_0 = 1, \quad T_1 = t, \quad T_{n+1} = 2 t\,T_n - T_{n-1}, \qquad
              t = \frac{2 x - a - b}{b - a}

    They depend only on the ends a and b of the grid and continue linearly outside it.

    Source: S. S. Sidharth et al., Chebyshev Polynomial-Based Kolmogorov-Arnold Networks,
    arXiv 2405.07200, which uses t = tanh(x) instead of an interval that adapts to the samples.
    """

    @classmethod
    def place_breakpoints(
        cls, breakpoints: Tensor, samples: Tensor, weights: Tensor, grid_size: int, **kwargs: Any
    ) -> Tensor:
        """Uniform over the range of the samples."""
        uniform = {**kwargs, "uniform_mix": 1.0}
        return super().place_breakpoints(breakpoints, samples, weights, grid_size, **uniform)

    def formula(self, x: Tensor, derivative: int) -> Tensor:
        low, high = self.breakpoints[:, :1], self.breakpoints[:, -1:]
        rate = 2 / (high - low)
        t = (x - (low + high) / 2) * rate
        # The differentiated recursion: T_{n+1}^(d) = 2d T_n^(d-1) + 2t T_n^(d) - T_{n-1}^(d).
        one, zero = torch.ones_like(t), torch.zeros_like(t)
        lower = [[one, t], [zero, one], *([zero, zero] for _ in range(derivative - 1))]
        lower = lower[: derivative + 1]
        for n in range(1, self.count - 1):
            for d, terms in enumerate(lower):
                term = 2 * t * terms[n] - terms[n - 1]
                terms.append(term + 2 * d * lower[d - 1][n] if d else term)
        return rate**derivative * torch.stack(lower[derivative])
