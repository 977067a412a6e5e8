"""Base class of the draws: a large pool of uniform points, of which some are chosen."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from kanlit.errors import check_at_least

__all__ = ["PointDraw"]


class PointDraw(ABC):
    """Chooses training points from a pool of fresh uniform points.

    A draw depends only on the seed of the data, the epoch and the weights.

    Args:
        pool: Collocation points in the pool; the pool of each condition has the same size in
            proportion to its points.
        every: Epochs between two draws.

    Raises:
        ConfigurationError: A count is below 1.
    """

    def __init__(self, pool: int = 20000, every: int = 5) -> None:
        check_at_least("pool", pool, 1)
        check_at_least("every", every, 1)
        self.pool = pool
        self.every = every

    @abstractmethod
    def choose(self, residual: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Indices ``(count,)`` of the chosen points, all different.

        Args:
            residual: Absolute residual at each point of the pool ``(n,)``, float64, on the CPU.
            count: Number of points, at most n.
            generator: Source of all random numbers.
        """
