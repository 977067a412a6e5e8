"""Collocation points of a boundary-value problem and points on the faces of its conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from kanlit.problems import BoundaryValueProblem, uniform_points

__all__ = ["Box", "RandomPoints", "grid", "problem_points"]

Box = Sequence[tuple[float, float]]


def problem_points(
    problem: BoundaryValueProblem,
    inside: Callable[[Box], Tensor],
    on_face: Callable[[Box], Tensor],
) -> dict[str, Tensor]:
    """Points of an equation and of its conditions, with their given values, by name.

    Args:
        problem: The equation with its conditions.
        inside: Collocation points ``(n, d)`` in the domain.
        on_face: Points ``(m, d-1)`` on a face, given by the bounds of the other coordinates.
    """
    bounds = problem.equation.bounds
    x = inside(bounds)
    found = {"collocation": x, **problem.given_within(x)}
    for condition in problem.conditions:
        faces = []
        for axis, end in problem.faces[condition.name]:
            along = [pair for other, pair in enumerate(bounds) if other != axis]
            face = on_face(along) if along else torch.empty(1, 0, dtype=torch.float64)
            fixed = face.new_full((len(face), 1), bounds[axis][end])
            faces.append(torch.cat([face[:, :axis], fixed, face[:, axis:]], 1))
        found |= problem.given_on(condition, torch.cat(faces), [len(face) for face in faces])
    return found


class RandomPoints:
    """Random points in boxes, reproducible for a generator.

    Args:
        generator: Source of all random numbers.
        sobol: Whether points are a scrambled Sobol sequence; otherwise they are independent.
    """

    def __init__(self, generator: torch.Generator, sobol: bool = False) -> None:
        self._generator = generator
        self._sobol = sobol

    def __call__(self, box: Box, count: int) -> Tensor:
        """Points ``(count, d)`` in a box."""
        if not self._sobol:
            return uniform_points(tuple(box), count, self._generator)
        seed = int(torch.randint(2**31, (), generator=self._generator))
        unit = SobolEngine(len(box), scramble=True, seed=seed).draw(count, dtype=torch.float64)
        low, high = torch.tensor(box, dtype=torch.float64).unbind(1)
        return low + (high - low) * unit


def grid(box: Box, counts: Sequence[int], midway: bool) -> Tensor:
    """A grid that includes the ends of each axis, or the midpoints of that grid."""
    axes = []
    for (low, high), count in zip(box, counts, strict=True):
        axis = torch.linspace(low, high, count, dtype=torch.float64)
        axes.append((axis[1:] + axis[:-1]) / 2 if midway else axis)
    return torch.cartesian_prod(*axes).reshape(-1, len(axes))
