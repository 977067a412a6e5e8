"""Target functions with name, formula and domain, and sampling of the domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Bounds", "TargetFunction", "grid_points", "uniform_points"]

Bounds = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class TargetFunction:
    """A scalar function on a box.

    Attributes:
        name: Short name, as in a config.
        formula: The formula as readable text, with inputs ``x1, x2, …``.
        bounds: ``(low, high)`` of each input; its length is the dimension.
        evaluate: ``(n, dim) -> (n,)``, in the dtype and on the device of its argument.
    """

    name: str
    formula: str
    bounds: Bounds
    evaluate: Callable[[Tensor], Tensor]

    @property
    def dim(self) -> int:
        return len(self.bounds)

    def __call__(self, x: Tensor) -> Tensor:
        """Values ``(n, 1)`` at the points ``x`` ``(n, dim)``."""
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"{self.name} needs points (n, {self.dim}), got {tuple(x.shape)}")
        return self.evaluate(x).unsqueeze(1)


def uniform_points(bounds: Bounds, count: int, generator: torch.Generator) -> Tensor:
    """``count`` independent uniform points ``(count, dim)`` in the box."""
    low, high = torch.tensor(bounds, dtype=torch.float64).unbind(1)
    unit = torch.rand(count, len(bounds), generator=generator, dtype=torch.float64)
    return low + (high - low) * unit


def grid_points(
    bounds: Bounds, points_per_axis: int | Sequence[int], dtype: torch.dtype = torch.float64
) -> Tensor:
    """Tensor grid ``(Π points, dim)`` with both ends of each axis; last input varies fastest."""
    counts = (
        [points_per_axis] * len(bounds) if isinstance(points_per_axis, int) else points_per_axis
    )
    axes = [
        torch.linspace(low, high, count, dtype=dtype)
        for (low, high), count in zip(bounds, counts, strict=True)
    ]
    return torch.cartesian_prod(*axes).reshape(-1, len(bounds))
