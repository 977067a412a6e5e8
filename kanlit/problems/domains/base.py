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

__all__ = ["Domain", "Face", "box_grid"]

# A part of the boundary of the shape by name, or the end (0 or 1) of the interval of a coordinate.
Face = str | tuple[int, int]

_ROUNDING = 1e-6  # of the size of the domain, by which a point may be outside


class Domain(ABC):
    r"""Where an equation holds: :math:`S \times [a_1, b_1] \times … \times [a_m, b_m]`.

    A subclass is a kind of shape S, in the first coordinates of an equation. It maps the unit cube
    to the shape and to the parts of its boundary such that uniform points stay uniform; a draw
    therefore depends on the points of the cube alone. A shape of given points has no more of them:
    without intervals, there may be fewer than in the cube.

    Args:
        axes: ``(low, high)`` of each coordinate after those of the shape, such as the time.

    Attributes:
        dim: Number of coordinates of the shape.
        parts: Names of the parts of its boundary.
        names: Names of the coordinates of the shape; None if they can have any.
    """

    dim: int
    parts: Sequence[str] = ()
    names: Sequence[str] | None = None

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

    def shape_grid(self, counts: Sequence[int], midway: bool) -> Tensor:
        """Points ``(n, dim)`` of a grid that lie in the shape.

        Args:
            counts: Points along each coordinate of the box around the shape.
            midway: Whether the points are the midpoints of that grid instead.

        Raises:
            ConfigurationError: None does.
        """
        points = box_grid(self.shape_bounds, counts, midway)
        size = max((high - low for low, high in self.shape_bounds), default=0.0)
        found = points[self.shape_contains(points, _ROUNDING * size)]
        if not len(found):
            raise ConfigurationError(
                f"none of {len(points)} grid points lies in the domain: use more of them, or "
                f"sampling uniform"
            )
        return found

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

    def lacks_normals(self, part: str) -> str:
        """What to do to have the normals of one of :attr:`parts`; empty if there are."""
        return ""

    def _along_axes(self, points: Tensor, unit: Tensor) -> Tensor:
        """Points ``(n, dim)`` of the shape with coordinates after those, for some of the cube."""
        return torch.cat([points, _stretched(unit[: len(points)], self.axes)], 1)

    def _without(self, axis: int) -> Self:
        """A copy without the interval of a coordinate."""
        number = axis - self.dim
        return self.with_axes((*self.axes[:number], *self.axes[number + 1 :]))

    def _at_end(self, face: tuple[int, int], points: Tensor) -> tuple[Tensor, Tensor]:
        """Points ``(m, d - 1)`` without a coordinate at its end, and the outward normals there."""
        axis, _ = face
        zero = points.new_zeros(len(points), 1)
        return self.onto(face, torch.cat([points[:, :axis], zero, points[:, axis:]], 1))

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
        return self._along_axes(self.shape_points(shape), rest)

    def grid(self, counts: Sequence[int], midway: bool = False) -> Tensor:
        """Points ``(n, d)`` of a grid that includes the ends of each axis, as far as they are in.

        Args:
            counts: Points along each coordinate.
            midway: Whether the points are the midpoints of that grid instead.

        Raises:
            ConfigurationError: None is in the domain.
        """
        shape = self.shape_grid(counts[: self.dim], midway)
        return _product(shape, box_grid(self.axes, counts[self.dim :], midway))

    def grid_on(self, face: Face, count: int, midway: bool = False) -> tuple[Tensor, Tensor]:
        """Points ``(m, d)`` of a grid on a face, and the outward normals there, of length 1.

        Args:
            face: A part of the shape, or a coordinate of an interval and its end.
            count: Points along each coordinate of the face.
            midway: Whether the points are the midpoints of that grid instead.
        """
        free = len(self.bounds) - 1
        if isinstance(face, str):
            return self.on(face, box_grid(((0.0, 1.0),) * free, [count] * free, midway))
        return self._at_end(face, self._without(face[0]).grid([count] * free, midway))

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
            level = torch.zeros(len(points), len(self.axes), dtype=torch.float64)
            return self._along_axes(points, rest), torch.cat([normals, level], 1)
        return self._at_end(face, self._without(face[0]).inside(unit))

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


def box_grid(bounds: Bounds, counts: Sequence[int], midway: bool) -> Tensor:
    """Points of a grid in a box; a single one without coordinates.

    Args:
        bounds: ``(low, high)`` of each coordinate.
        counts: Points along each.
        midway: Whether they are the midpoints of that grid instead.
    """
    if not bounds:
        return torch.empty(1, 0, dtype=torch.float64)
    axes = []
    for (low, high), count in zip(bounds, counts, strict=True):
        axis = torch.linspace(low, high, count, dtype=torch.float64)
        axes.append((axis[1:] + axis[:-1]) / 2 if midway else axis)
    return torch.cartesian_prod(*axes).reshape(-1, len(axes))


def _product(points: Tensor, others: Tensor) -> Tensor:
    """Each of ``(n, a)`` with each of ``(m, b)``, the second varying fastest ``(n · m, a + b)``."""
    return torch.cat([points.repeat_interleave(len(others), 0), others.repeat(len(points), 1)], 1)


def _stretched(unit: Tensor, axes: Bounds) -> Tensor:
    """Points ``(n, m)`` of the unit cube moved to intervals."""
    if not axes:
        return unit
    low, high = torch.tensor(axes, dtype=torch.float64).unbind(1)
    return low + (high - low) * unit
