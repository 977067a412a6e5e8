"""Collocation points of a differential equation and points of its conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from kanlit.data.base import Part, TensorDataModule, Tensors
from kanlit.data.checks import check_at_least
from kanlit.errors import ConfigurationError
from kanlit.problems import (
    BoundaryValueProblem,
    Equation,
    Helmholtz,
    TargetFunction,
    grid_points,
    uniform_points,
)
from kanlit.problems.equations.exact import Manner

__all__ = ["EquationData", "HelmholtzData", "Sampling"]

Sampling = Literal["grid", "sobol", "uniform"]

_TEST_POINTS_PER_AXIS = 100
_TEST_POINTS = 65536  # largest total number
_CUT = ("collocation", "source")


class EquationData(TensorDataModule):
    """Collocation points of a differential equation, and points on the faces of its conditions.

    Training and validation batches are dicts of ``collocation`` (n, d), ``source`` (n, 1) if the
    residual uses it, and for each condition its points under its name, with their values.
    Training uses a grid that includes the ends of each axis, or random points; validation uses the
    midpoints of the grid, or other random points. The test set is the equation's solution on a
    grid of 100 points per axis (at most 65536 in total), or the validation set if the solution is
    not known.

    Args:
        equation: The equation: Helmholtz, Poisson, Burgers, AllenCahn, ReactionDiffusion, or your
            own subclass of kanlit.Equation.
        points_per_axis: Grid points along each axis: one number, or one per axis.
        sampling: grid, sobol (a scrambled Sobol sequence) or uniform (uniformly random).
        points: Number of collocation points with sobol or uniform sampling.
        condition_points: Points along each axis of a face of a condition; with sobol or uniform
            sampling, points per face.
        batch_size: Collocation points per training step, together with all points of the
            conditions; null uses all of them (full batch, one step per epoch).
        seed: Seed of random points and of the order of mini-batches.

    Raises:
        ConfigurationError: The equation is invalid; a count is too small.
    """

    default_module = "PDEModule"

    def __init__(
        self,
        equation: Equation,
        points_per_axis: int | list[int] = 64,
        sampling: Sampling = "grid",
        points: int | None = None,
        condition_points: int = 64,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> None:
        problem = BoundaryValueProblem(equation)
        dim = len(equation.coordinates)
        if isinstance(points_per_axis, int):
            points_per_axis = [points_per_axis] * dim
        if len(points_per_axis) != dim:
            raise ConfigurationError(
                f"points_per_axis must be one number or {dim} of them, for "
                f"{', '.join(equation.coordinates)}, got {points_per_axis}"
            )
        for count in points_per_axis:
            check_at_least("points_per_axis", count, 2)
        check_at_least("condition_points", condition_points, 2)
        if sampling not in ("grid", "sobol", "uniform"):
            raise ConfigurationError(f"sampling must be grid, sobol or uniform, got {sampling!r}")
        if (sampling == "grid") != (points is None):
            raise ConfigurationError(
                "set points with sampling sobol or uniform, and points_per_axis with sampling "
                f"grid: got points {points} with sampling {sampling}"
            )
        if points is not None:
            check_at_least("points", points, 1)
        super().__init__(
            dim,
            len(equation.unknowns),
            batch_size,
            seed,
            input_names=equation.coordinates,
            target_names=equation.unknowns,
            target=_target(problem),
        )
        self.in_features = len(problem.form.inputs)
        self.problem: Equation = equation
        self._network_names = problem.form.inputs
        self.points_per_axis = list(points_per_axis)
        self.sampling = sampling
        self.points = points
        self.condition_points = condition_points

    @property
    def network_names(self) -> tuple[str, ...]:
        return self._network_names

    def build(self, part: Part) -> Tensors:
        problem = BoundaryValueProblem(self.problem)
        if part in ("train", "validate"):
            return self._points(problem, validation=part == "validate")
        dim, each = len(self.problem.bounds), _TEST_POINTS_PER_AXIS
        while each > 2 and each**dim > _TEST_POINTS:
            each -= 1
        x = grid_points(self.problem.bounds, each)
        if part == "predict":
            return (x,)
        return (x, problem.solution(x)) if problem.has_solution else self._points(problem, True)

    def training_points(self) -> Tensor:
        """The corners of the domain: the equation holds up to them, wherever the points are."""
        return torch.tensor(self.problem.bounds, dtype=torch.float64).T

    def divide(self, tensors: Tensors) -> tuple[Tensors, Mapping[str, Tensor]]:
        if isinstance(tensors, tuple):
            return tensors, {}
        cut = {name: tensor for name, tensor in tensors.items() if name in _CUT}
        return cut, {name: tensor for name, tensor in tensors.items() if name not in _CUT}

    def _points(self, problem: BoundaryValueProblem, validation: bool) -> dict[str, Tensor]:
        bounds = self.problem.bounds
        draw = _Draws(self.sampling, 2 * self.seed + validation)
        if self.points is None:
            x = _grid(bounds, self.points_per_axis, validation)
        else:
            x = draw(bounds, self.points)
        found = {"collocation": x, **problem.given_within(x)}
        for condition in problem.conditions:
            faces = []
            for axis, end in problem.faces[condition.name]:
                along = [pair for other, pair in enumerate(bounds) if other != axis]
                if not along:
                    face = torch.empty(1, 0, dtype=torch.float64)
                elif self.points is None:
                    face = _grid(along, [self.condition_points] * len(along), validation)
                else:
                    face = draw(along, self.condition_points)
                fixed = face.new_full((len(face), 1), bounds[axis][end])
                faces.append(torch.cat([face[:, :axis], fixed, face[:, axis:]], 1))
            found |= problem.given_on(condition, torch.cat(faces), [len(face) for face in faces])
        return found


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


class _Draws:
    """Draws random points, reproducible for a seed."""

    def __init__(self, sampling: Sampling, seed: int) -> None:
        self._sampling = sampling
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, bounds: Sequence[tuple[float, float]], count: int) -> Tensor:
        """Points ``(count, d)`` in a box."""
        if self._sampling == "uniform":
            return uniform_points(tuple(bounds), count, self._generator)
        seed = int(torch.randint(2**31, (), generator=self._generator))
        unit = SobolEngine(len(bounds), scramble=True, seed=seed).draw(count, dtype=torch.float64)
        low, high = torch.tensor(bounds, dtype=torch.float64).unbind(1)
        return low + (high - low) * unit


def _grid(bounds: Sequence[tuple[float, float]], counts: Sequence[int], midway: bool) -> Tensor:
    """A grid that includes the ends of each axis, or the midpoints of that grid."""
    axes = []
    for (low, high), count in zip(bounds, counts, strict=True):
        axis = torch.linspace(low, high, count, dtype=torch.float64)
        axes.append((axis[1:] + axis[:-1]) / 2 if midway else axis)
    return torch.cartesian_prod(*axes).reshape(-1, len(axes))


def _target(problem: BoundaryValueProblem) -> TargetFunction | None:
    """The solution as a target function, if it is known and has one unknown."""
    if not problem.has_solution or len(problem.equation.unknowns) > 1:
        return None
    return TargetFunction(
        name=problem.name,
        formula=f"solution of {problem.name}",
        bounds=problem.equation.bounds,
        evaluate=lambda x: problem.solution(x)[:, 0],
    )
