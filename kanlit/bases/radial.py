"""Gaussian bases whose centres and widths follow the knots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from kanlit.bases.base import Basis
from kanlit.bases.smooth import SmoothBasis
from kanlit.splines import Outside, breakpoints_of, greville, nearest

__all__ = ["RadialBasis"]

# Width over distance. At 1, the usual one, sums of uneven bells stay 3e-3 away from a smooth curve
# however many there are, at 1.5 two to four times 1e-4; at 2 the bells are so alike that fits of
# them lose four digits.
_OVERLAP = 1.5


@dataclass(frozen=True)
class RadialBasis(SmoothBasis):
    r"""Gaussians, one for each B-spline on the same knots.

    .. math:: B_i(x) = \exp\!\Big(-\Big(\frac{x - \xi_i}{h_i}\Big)^2\Big), \qquad
              \xi_i = \frac{1}{k} \sum_{l=1}^{k} t_{i+l}, \quad
              h_i = \tfrac34 (\xi_{i+1} - \xi_{i-1})

    The centres ξ are the Greville abscissae of the knots t, the widths h one and a half times
    their distances (at the ends that to the only neighbour): where an importance density gathers
    knots, centres stand closer and bells are narrower.

    Attributes:
        centres: ξ ``(in, count)``.
        inverse_width: 1/h ``(in, count)``.
        linear: Whether value and slope go on outside the grid; else the bells fade out.

    Source: Z. Li, Kolmogorov-Arnold Networks are Radial Basis Function Networks,
    arXiv 2405.06721, for evenly spaced centres.
    """

    centres: Tensor
    inverse_width: Tensor
    linear: bool

    @classmethod
    def from_knots(cls, knots: Tensor, spline_order: int, outside: Outside) -> Self:
        t, k = knots.double(), spline_order
        centres = greville(t, k)
        steps = centres.diff(dim=1)
        pairs = torch.cat([steps[:, :1], steps], 1) + torch.cat([steps, steps[:, -1:]], 1)
        width = _OVERLAP / 2 * pairs
        return cls(
            breakpoints_of(t, k),
            centres.shape[1],
            centres,
            width.reciprocal(),
            outside == "linear",
        )

    @property
    def continues(self) -> bool:
        return self.linear

    def predecessors(self, old: Basis) -> Tensor:
        assert isinstance(old, RadialBasis)
        return nearest(old.centres, self.centres)

    def formula(self, x: Tensor, derivative: int) -> Tensor:
        rate = self.inverse_width.T.unsqueeze(-1)
        z = (x - self.centres.T.unsqueeze(-1)) * rate
        bells = torch.exp(-z.square())
        # The n-th derivative is (-1/h)^n H_n(z) exp(-z²), by H_{n+1} = 2z H_n - 2n H_{n-1}.
        before, hermite = torch.zeros_like(z), torch.ones_like(z)
        for n in range(derivative):
            before, hermite = hermite, 2 * z * hermite - 2 * n * before
        return (-rate) ** derivative * hermite * bells if derivative else bells
