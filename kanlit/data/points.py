"""Collocation points of a boundary-value problem and points on the faces of its conditions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from kanlit.problems import BoundaryValueProblem
from kanlit.problems.domains import Domain, Face

__all__ = ["GridPoints", "Points", "RandomPoints", "problem_points"]


class Points(ABC):
    """A way to choose points in a domain and on its faces."""

    @abstractmethod
    def inside(self, domain: Domain) -> Tensor:
        """Points ``(n, d)`` in a domain."""

    @abstractmethod
    def on(self, domain: Domain, face: Face) -> tuple[Tensor, Tensor]:
        """Points of a face and outward normals there, ``(m, d)`` each."""


def problem_points(problem: BoundaryValueProblem, points: Points) -> dict[str, Tensor]:
    """Points of an equation and of its conditions, with their given values, by name."""
    x = points.inside(problem.domain)
    found = {"collocation": x, **problem.given_within(x)}
    for condition in problem.conditions:
        faces = [points.on(problem.domain, face) for face in problem.faces[condition.name]]
        found |= problem.given_on(condition, faces)
    return found


class RandomPoints(Points):
    """Random points, uniform in the domain and on each face, reproducible for a generator.

    Args:
        generator: Source of all random numbers.
        count: Number of points in the domain.
        on_face: Number of points on each face.
        sobol: Whether points are a scrambled Sobol sequence; otherwise they are independent.
    """

    def __init__(
        self, generator: torch.Generator, count: int, on_face: int, sobol: bool = False
    ) -> None:
        self._generator = generator
        self._count, self._on_face = count, on_face
        self._sobol = sobol

    def inside(self, domain: Domain) -> Tensor:
        return domain.inside(self._unit(self._count, len(domain.bounds)))

    def on(self, domain: Domain, face: Face) -> tuple[Tensor, Tensor]:
        return domain.on(face, self._unit(self._on_face, len(domain.bounds) - 1))

    def _unit(self, count: int, dim: int) -> Tensor:
        """Points of the unit cube ``(count, dim)``; a single one without coordinates."""
        if not dim:
            return torch.empty(1, 0, dtype=torch.float64)
        if not self._sobol:
            return torch.rand(count, dim, generator=self._generator, dtype=torch.float64)
        seed = int(torch.randint(2**31, (), generator=self._generator))
        return SobolEngine(dim, scramble=True, seed=seed).draw(count, dtype=torch.float64)


class GridPoints(Points):
    """A grid that includes the ends of each axis, as far as it lies in the domain.

    Points on a part of the boundary of a shape have equal distances along it.

    Args:
        counts: Points along each axis of the domain.
        on_face: Points along each axis of a face.
        midway: Whether the points are the midpoints of that grid instead.
    """

    def __init__(self, counts: Sequence[int], on_face: int, midway: bool = False) -> None:
        self._counts, self._on_face = counts, on_face
        self._midway = midway

    def inside(self, domain: Domain) -> Tensor:
        return domain.grid(self._counts, self._midway)

    def on(self, domain: Domain, face: Face) -> tuple[Tensor, Tensor]:
        return domain.grid_on(face, self._on_face, self._midway)
