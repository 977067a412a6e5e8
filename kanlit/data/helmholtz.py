"""Points of the paper's Helmholtz problem."""

from __future__ import annotations

from kanlit.data.equations import EquationData
from kanlit.errors import check_at_least
from kanlit.problems import Helmholtz, TargetFunction
from kanlit.problems.equations.exact import Manner

__all__ = ["HelmholtzData"]


class HelmholtzData(EquationData):
    """Points for u_x1x1 + u_x2x2 + k²u = q on [-1, 1]² with u = 0 on the boundary.

    The exact solution is sin(a1 π x1) sin(a2 π x2). Training and validation batches are dicts
    of ``collocation`` (n, 2), ``source`` (n, 1), ``boundary`` (m, 2) and ``boundary_values``
    (m, 1). Training uses a grid that includes the ends of each axis, and evenly spaced points on
    each side; validation uses the midpoints. The test set is the exact solution on a 100 × 100
    grid.

    Args:
        a1: Half waves of the exact solution per unit length along x1, an integer from 1.
        a2: Half waves per unit length along x2, an integer from 1.
        wavenumber: k, in radians per unit length (not its square). Values for which the solution
            is not unique raise an error.
        points_per_axis: Collocation points along each axis; their total is its square.
        boundary_points: Points on each of the four sides, including the corners.
        batch_size: Collocation points per training step, together with the whole boundary; null
            uses all of them (full batch, one step per epoch).
        seed: Seed of the order of mini-batches.
        conditions: soft (the boundary's values in the loss, as in the paper) or exact (by the
            ansatz (1 - x1²) (1 - x2²) N, without points on the boundary).
    """

    default_recipe = None  # the paper's protocol

    problem: Helmholtz
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
        conditions: Manner = "soft",
    ) -> None:
        problem = Helmholtz(a1, a2, wavenumber, conditions)
        check_at_least("boundary_points", boundary_points, 2)
        super().__init__(
            problem,
            points_per_axis,
            condition_points=boundary_points,
            batch_size=batch_size,
            seed=seed,
        )
        self.target = problem.target
        self.boundary_points = boundary_points
