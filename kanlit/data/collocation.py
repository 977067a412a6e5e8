"""Points at which a differential equation and its boundary condition are to hold."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kanlit.data.base import Part, TensorDataModule, Tensors
from kanlit.data.checks import check_at_least
from kanlit.problems import Helmholtz, TargetFunction, grid_points

__all__ = ["HelmholtzData"]

_TEST_POINTS_PER_AXIS = 100


class HelmholtzData(TensorDataModule):
    """Collocation and boundary points for u_xx + u_yy + k²u = q on [-1, 1]², u = 0 around it.

    The exact solution is sin(a1 π x1) sin(a2 π x2). Training and validation batches are dicts
    of ``collocation`` (n, 2), ``source`` (n, 1), ``boundary`` (m, 2) and ``boundary_values``
    (m, 1). Training takes a grid with the ends of each axis and evenly spaced points on each
    side; validation takes the points midway between these. The test set is the exact solution
    on a 100 × 100 grid.

    Args:
        a1: Half waves of the exact solution per unit length along x1, a whole number from 1.
        a2: The same along x2.
        wavenumber: k, in radians per unit length (not its square); values at which the solution
            is not unique are refused.
        points_per_axis: Collocation points along each axis, so that there are as many squared.
        boundary_points: Points on each of the four sides, the corners among them.
        batch_size: Collocation points in a training step, with the whole boundary; null is all of
            them (full batch, one step an epoch).
        seed: Seed of the order of mini-batches.
    """

    target: TargetFunction

    def __init__(
        self,
        a1: int = 1,
        a2: int = 1,
        wavenumber: float = 1.0,
        points_per_axis: int = 64,
        boundary_points: int = 64,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> None:
        problem = Helmholtz(a1, a2, wavenumber)
        check_at_least("points_per_axis", points_per_axis, 2)
        check_at_least("boundary_points", boundary_points, 2)
        super().__init__(
            problem.dim, 1, batch_size, seed, target_names=["u"], target=problem.target
        )
        self.problem = problem
        self.points_per_axis = points_per_axis
        self.boundary_points = boundary_points

    def build(self, part: Part) -> Tensors:
        if part in ("train", "validate"):
            return self._conditions(midway=part == "validate")
        x = grid_points(self.problem.bounds, _TEST_POINTS_PER_AXIS)
        return (x,) if part == "predict" else (x, self.problem.solution(x))

    def divide(self, tensors: Tensors) -> tuple[Tensors, Mapping[str, Tensor]]:
        if isinstance(tensors, tuple):
            return tensors, {}
        cut = {name: tensors[name] for name in ("collocation", "source")}
        return cut, {name: tensors[name] for name in ("boundary", "boundary_values")}

    def _conditions(self, midway: bool) -> dict[str, Tensor]:
        axis = _axis(self.points_per_axis, midway)
        collocation = torch.cartesian_prod(axis, axis)
        boundary = _sides(_axis(self.boundary_points, midway))
        return {
            "collocation": collocation,
            "source": self.problem.source(collocation),
            "boundary": boundary,
            "boundary_values": boundary.new_zeros(len(boundary), 1),
        }


def _axis(count: int, midway: bool) -> Tensor:
    """``count`` even points on [-1, 1], or the ``count - 1`` points midway between them."""
    points = torch.linspace(-1, 1, count, dtype=torch.float64)
    return (points[1:] + points[:-1]) / 2 if midway else points


def _sides(axis: Tensor) -> Tensor:
    """The points of ``axis`` ``(n,)`` on each side of [-1, 1]²: ``(4n, 2)``."""
    one = torch.ones_like(axis)
    sides = [(axis, -one), (axis, one), (-one, axis), (one, axis)]
    return torch.cat([torch.stack(side, 1) for side in sides])
