"""A box: an interval of each coordinate."""

from __future__ import annotations

import torch
from torch import Tensor

from kanlit.problems.domains.base import Domain
from kanlit.problems.functions.target import Bounds

__all__ = ["Box"]


class Box(Domain):
    """An interval of each coordinate; ``bounds`` of an equation stand for one.

    Args:
        axes: ``(low, high)`` of each coordinate.
    """

    dim = 0

    @property
    def shape_bounds(self) -> Bounds:
        return ()

    def shape_contains(self, points: Tensor, slack: float) -> Tensor:
        return torch.ones(len(points), dtype=torch.bool)

    def shape_points(self, unit: Tensor) -> Tensor:
        return unit

    def meet(self, part: str, other: str) -> bool:
        raise NotImplementedError("a box has no named parts")

    def part_points(self, part: str, unit: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("a box has no named parts")
