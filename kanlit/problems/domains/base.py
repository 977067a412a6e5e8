"""Base class of domains: a shape in the first coordinates, times intervals of the others."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.problems.functions.target import Bounds

__all__ = ["Domain", "Face"]

# A part of the boundary of the shape by name, or the end (0 or 1) of the interval of a coordinate.
Face = str | tuple[int, int]

_ROUNDING = 1e-6  # of the size of the domain, by which a point may be outside


class Domain(ABC):
    r"""Where an equation holds: :math:`S \times [a_1, b_1] \times … \times [a_m, b_m]`.

    A subclass is a kind of shape S, in the first coordinates of an equation. It maps the unit cube
    to the shape and to the parts of its boundary such that uniform points stay uniform; a draw
    therefore depends on the points of the cube alone.

    Args:
        axes: ``(low, high)`` of each coordinate after those of the shape, such as the time.

    Attributes:
        dim: Number of coordinates of the shape.
        parts: Names of the parts of its boundary.
    """

    dim: int
    parts: Sequence[str] = ()

    def __init__(self, axes: Bounds) -> None:
        self.axes = axes

    @property
    @abstractmethod
    def shape_bounds(self) -> Bounds:
        """``(low, high)`` of each coordinate of the shape."""

    @abstractmethod
    def shape_contains(self, points: Tensor, slack: float) -> Tensor:
        """Whether the shape contains points ``(n, dim)``, or is within ``slack``, ``(n,)``."""

    @abstractmethod
    def shape_points(self, unit: Tensor) -> Tensor:
        """Uniform points ``(n, dim)`` in the shape, for uniform ones in the unit cube."""

    @abstractmethod
    def meet(self, part: str, other: str) -> bool:
        """Whether two of :attr:`parts` have some of the boundary in common, more than corners."""

    @abstractmethod
    def part_points(self, part: str, unit: Tensor) -> tuple[Tensor, Tensor]:
        """Points ``(m, dim)`` of a part, uniform by its length, and its outward normals there.

        Args:
            part: One of :attr:`parts`.
            unit: Uniform points in the unit cube ``(m, dim - 1)``.
        """

    @property
    def bounds(self) -> Bounds:
        """``(low, high)`` of each coordinate, of the smallest box around the domain."""
        return (*self.shape_bounds, *self.axes)

    def contains(self, points: Tensor) -> Tensor:
        """Whether each point ``(n, d)`` is in the domain, up to rounding, ``(n,)``."""
        low, high = torch.tensor(self.bounds, dtype=torch.float64).unbind(1)
        slack = _ROUNDING * (high - low)
        points = points.double().cpu()
        within = ((points >= low - slack) & (points <= high + slack)).all(1)
        reach = float(slack.max())
        within[within.clone()] = self.shape_contains(points[within, : self.dim], reach)
        return within

    def inside(self, unit: Tensor) -> Tensor:
        """Uniform points ``(n, d)`` of the domain, for uniform ones in the unit cube."""
        shape, rest = unit[:, : self.dim], unit[:, self.dim :]
        return torch.cat([self.shape_points(shape), _stretched(rest, self.axes)], 1)

    def drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """Random points ``(count, d)``, uniform in the domain."""
        d = len(self.bounds)
        return self.inside(torch.rand(count, d, generator=generator, dtype=torch.float64))

    def on(self, face: Face, unit: Tensor) -> tuple[Tensor, Tensor]:
        """Uniform points ``(m, d)`` of a face, and the outward normals there, of length 1.

        Args:
            face: A part of the shape, or a coordinate of an interval and its end.
            unit: Uniform points in the unit cube ``(m, d - 1)``.
        """
        if isinstance(face, str):
            shape, rest = unit[:, : self.dim - 1], unit[:, self.dim - 1 :]
            points, normals = self.part_points(face, shape)
            along = _stretched(rest, self.axes)
            return torch.cat([points, along], 1), torch.cat([normals, torch.zeros_like(along)], 1)
        axis, _ = face
        whole = torch.cat([unit[:, :axis], unit.new_zeros(len(unit), 1), unit[:, axis:]], 1)
        return self.onto(face, self.inside(whole))

    def onto(self, face: tuple[int, int], points: Tensor) -> tuple[Tensor, Tensor]:
        """Points ``(m, d)`` moved along a coordinate to its end, and the outward normals there."""
        axis, end = face
        points, normals = points.clone(), torch.zeros_like(points)
        points[:, axis] = self.bounds[axis][end]
        normals[:, axis] = 2 * end - 1
        return points, normals

    def with_ends(self, axis: int, low: float, high: float) -> Self:
        """A copy with another interval of a coordinate.

        Raises:
            ConfigurationError: The coordinate is one of the shape.
        """
        if axis < self.dim:
            raise ConfigurationError(
                f"coordinate {axis + 1} is one of the shape of a {type(self).__name__}, whose ends "
                f"cannot change: choose one of its axes, such as the time"
            )
        axes = list(self.axes)
        axes[axis - self.dim] = (low, high)
        return self.with_axes(tuple(axes))

    def with_axes(self, axes: Bounds) -> Self:
        """A copy with other intervals of the coordinates after those of the shape."""
        found = copy.copy(self)
        found.axes = axes
        return found


def _stretched(unit: Tensor, axes: Bounds) -> Tensor:
    """Points ``(n, m)`` of the unit cube moved to intervals."""
    if not axes:
        return unit
    low, high = torch.tensor(axes, dtype=torch.float64).unbind(1)
    return low + (high - low) * unit
