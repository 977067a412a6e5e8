"""Points that are denser where the residual is large."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from kanlit.data.draws.base import PointDraw
from kanlit.errors import ConfigurationError

__all__ = ["ResidualDraw"]


class ResidualDraw(PointDraw):
    r"""Residual-based adaptive distribution (RAD): draws without replacement from the pool.

    .. math:: p(x) \propto \frac{|r(x)|^k}{\mathrm{mean}\,|r|^k} + c

    Args:
        exponent: k, at least 0; 0 draws uniformly.
        floor: c, at least 0; the larger, the closer to a uniform density.
        **kwargs: The other arguments are those of :class:`~kanlit.data.draws.PointDraw`.

    Raises:
        ConfigurationError: A setting is out of range.

    Source: Wu et al., arXiv 2207.10289, equation 2.
    """

    def __init__(self, exponent: float = 1.0, floor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, value in (("exponent", exponent), ("floor", floor)):
            if not 0 <= value < math.inf:
                raise ConfigurationError(f"{name} must be at least 0, got {value}: try 1.0")
        self.exponent = exponent
        self.floor = floor

    def choose(self, residual: Tensor, count: int, generator: torch.Generator) -> Tensor:
        # Divided by the largest residual first, so that powers neither overflow nor all vanish.
        powers = (residual / residual.max().clamp_min(torch.finfo(residual.dtype).tiny)).pow(
            self.exponent
        )
        mean = powers.mean()
        weights = (powers / mean if mean > 0 else torch.ones_like(powers)) + self.floor
        # Without a floor, points of zero residual are drawn only if the others are too few.
        weights = weights.clamp_min(1e-12)
        return torch.multinomial(weights, count, generator=generator)
