"""Whether a condition holds exactly, whatever the network: tried with random networks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import inf, isfinite
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kanlit.nn import KAN
from kanlit.problems.conditions import Condition
from kanlit.problems.domains import Face
from kanlit.problems.names import Network

if TYPE_CHECKING:
    from kanlit.problems.boundary_value_problem import BoundaryValueProblem

__all__ = ["largest_residuals", "random_networks"]

_POINTS = 32  # on each face
_TOLERANCE = 1e-9  # of the residual's size inside the domain
_ORDER = 5  # of the splines, for the highest derivatives


@cache
def random_networks(inputs: int, outputs: int) -> list[KAN]:
    """Two small networks with random weights, in float64, always the same: nobody trains them."""
    generator = torch.Generator().manual_seed(0)
    return [
        KAN([inputs, 3, outputs], spline_order=_ORDER, generator=generator, dtype=torch.float64)
        for _ in range(2)
    ]


@torch.no_grad()
def largest_residuals(
    problem: BoundaryValueProblem, condition: Condition, solutions: Sequence[Network]
) -> dict[Face, float]:
    """The largest residual of a condition on each of its faces; 0 if it is rounding only.

    The scale is the residual inside the domain, where it has no reason to vanish.

    Args:
        problem: The problem.
        condition: One of its conditions.
        solutions: The unknowns with random networks inside.
    """
    faces, domain = problem.faces[condition.name], problem.domain
    generator = torch.Generator().manual_seed(0)
    unit = torch.rand(_POINTS, len(domain.bounds), generator=generator, dtype=torch.float64)
    inside = domain.inside(unit)
    parts = [
        domain.on(face, unit[:, 1:]) if isinstance(face, str) else domain.onto(face, inside)
        for face in faces
    ]
    sizes = [len(points) for points, _ in parts]
    batch = problem.given_on(condition, parts)
    count, normals = len(inside), parts[0][1]  # a domain of given points may have fewer
    elsewhere = {condition.name: inside, f"{condition.name}_values": inside.new_zeros(count, 1)}
    elsewhere[f"{condition.name}_opposite"] = inside.flip(0)
    elsewhere[f"{condition.name}_normals"] = normals[torch.arange(count) % len(normals)]
    largest = dict.fromkeys(faces, 0.0)
    for solution in solutions:
        scales = problem.residuals_of(condition, solution, elsewhere)
        for name, block in problem.residuals_of(condition, solution, batch).items():
            scale = _largest(torch.cat([scales[name], *_given(batch, condition)]))
            for face, part in zip(faces, block.split(sizes), strict=True):
                size = float(part.abs().max())
                if not size <= _TOLERANCE * scale:
                    largest[face] = max(largest[face], size if isfinite(size) else inf)
    return largest


def _given(batch: dict[str, Tensor], condition: Condition) -> list[Tensor]:
    values = batch.get(f"{condition.name}_values")
    return [] if values is None else [values]


def _largest(values: Tensor) -> float:
    """Largest finite magnitude; 0 if there is none."""
    finite = values[values.isfinite()].abs()
    return float(finite.max()) if len(finite) else 0.0
