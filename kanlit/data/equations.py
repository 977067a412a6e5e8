"""Collocation points of a differential equation and points of its conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from kanlit.data.base import Part, TensorDataModule, Tensors
from kanlit.data.checks import check_finite
from kanlit.data.draws import PointDraw, ResidualDraw
from kanlit.data.measurements import Measurements, Noise, observed, read_measurements
from kanlit.data.points import GridPoints, RandomPoints, problem_points
from kanlit.errors import ConfigurationError, check_at_least
from kanlit.problems import (
    BoundaryValueProblem,
    Equation,
    TargetFunction,
)
from kanlit.problems.equation_domain import domain_of
from kanlit.problems.observations import OBSERVED

__all__ = ["EquationData", "Sampling"]

Sampling = Literal["grid", "sobol", "uniform", "residual"]

_TEST_POINTS_PER_AXIS = 100
_TEST_POINTS = 65536  # largest total number
_CUT = ("collocation", "source")
_ENDINGS = ("", "_values", "_opposite", "_normals")  # of the tensors of a condition


class EquationData(TensorDataModule):
    """Collocation points of a differential equation, and points on the faces of its conditions.

    Training and validation batches are dicts of ``collocation`` (n, d), ``source`` (n, 1) if the
    residual uses it, for each condition its points under its name, with their values, and
    ``observations`` with theirs.
    Training uses a grid that includes the ends of each axis, or random points; validation uses the
    midpoints of the grid, or other random points, which stay the same for the whole run. The test
    set is ``reference``, with 1 for a value and 0 for a gap as a third tensor if there are gaps;
    without it, the equation's solution on a grid of 100 points per axis (at most 65536 in total),
    or the validation set if the solution is not known.

    The columns of ``observations`` and ``reference`` are named like the coordinates and unknowns of
    the equation; these files may have any format of TableData.

    Args:
        equation: The equation: one of kanlit's, such as Burgers, AllenCahn, KdV, Wave or Heat, or
            your own subclass of kanlit.Equation.
        points_per_axis: Grid points along each axis: one number, or one per axis. Of a domain that
            is no box, those of the box around it that lie in it; of a PointCloud, all its points,
            along these coordinates.
        sampling: grid, sobol (a scrambled Sobol sequence), uniform (uniformly random), or residual
            (uniform at first, and redrawn during training where the residual is large).
        points: Number of collocation points with sobol, uniform or residual sampling.
        condition_points: Points along each axis of a face of a condition; with sobol, uniform or
            residual sampling, points per face. A named part of the boundary is one face.
        redraw: How points are redrawn with residual sampling; by default a ResidualDraw with its
            own defaults, or your own subclass of kanlit.data.PointDraw.
        batch_size: Collocation points per training step, together with all points of the
            conditions; null uses all of them (full batch, one step per epoch).
        seed: Seed of random points and of the order of mini-batches.
        observations: A table of measured values of some or all unknowns, with gaps if need be: what
            the solution misses them by is a further block of the loss, whole in every batch.
        noise: Standard deviation of the observations' noise, one number or one per unknown, such as
            {u: 0.05}: observations are weighted by 1/σ². Null weights all alike, by 1.
        reference: A table of reference values of some or all unknowns, with gaps if need be: the
            test error is that at these points.

    Attributes:
        equation: The equation.
        problem: The equation that is trained now: a changed copy in the stages of a continuation.
        tested: Indices of the unknowns in the reference; None if the test is of all unknowns.

    Raises:
        ConfigurationError: The equation is invalid; a count is too small.
    """

    default_module = "PDEModule"
    default_recipe: ClassVar[str | None] = "equation"

    def __init__(
        self,
        equation: Equation,
        points_per_axis: int | list[int] = 64,
        sampling: Sampling = "grid",
        points: int | None = None,
        condition_points: int = 64,
        redraw: PointDraw | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        observations: str | None = None,
        noise: Noise | None = None,
        reference: str | None = None,
    ) -> None:
        problem = BoundaryValueProblem(equation)
        dim = len(equation.variables)
        if isinstance(points_per_axis, int):
            points_per_axis = [points_per_axis] * dim
        if len(points_per_axis) != dim:
            raise ConfigurationError(
                f"points_per_axis must be one number or {dim} of them, for "
                f"{', '.join(equation.variables)}, got {points_per_axis}"
            )
        for count in points_per_axis:
            check_at_least("points_per_axis", count, 2)
        check_at_least("condition_points", condition_points, 2)
        if sampling not in get_args(Sampling):
            raise ConfigurationError(
                f"sampling must be one of {', '.join(get_args(Sampling))}, got {sampling!r}"
            )
        if (sampling == "grid") != (points is None):
            raise ConfigurationError(
                "set points with sampling sobol, uniform or residual, and points_per_axis with "
                f"sampling grid: got points {points} with sampling {sampling}"
            )
        if points is not None:
            check_at_least("points", points, 1)
        if sampling == "residual":
            redraw = redraw or ResidualDraw()
            if points is not None and redraw.pool < points:
                raise ConfigurationError(
                    f"redraw chooses {points} points from a pool of {redraw.pool}: raise "
                    f"redraw.pool or lower points"
                )
        if noise is not None and observations is None:
            raise ConfigurationError(
                f"noise {noise} is that of observations, but there are none: set observations, or "
                f"remove noise"
            )
        if sampling != "residual" and redraw is not None:
            raise ConfigurationError(
                f"redraw needs sampling residual, got {sampling}: set sampling to residual, or "
                f"remove redraw"
            )
        super().__init__(
            dim,
            len(equation.unknowns),
            batch_size,
            seed,
            input_names=equation.variables,
            target_names=equation.unknowns,
            target=_target(problem),
        )
        self.in_features = len(problem.form.inputs)
        self.equation: Equation = equation
        self.problem: Equation = equation
        self._network_names = problem.form.inputs
        self.points_per_axis = list(points_per_axis)
        self.sampling = sampling
        self.points = points
        self.condition_points = condition_points
        self.redraw = redraw
        self.observations = observations
        self.noise = noise
        self.reference = reference
        self.tested: list[int] | None = None
        self._measured: Measurements | None = None  # once read
        self._drawn = False  # whether the training points are those of a redraw
        self._resumed: Any = None  # training points of a checkpoint, until they are restored

    def setup(self, stage: str) -> None:
        changed = self._drawn or self.problem is not self.equation
        if stage == "fit" and changed and getattr(self.trainer, "global_step", 0) == 0:
            self.use(self.equation)  # a new run starts with the first points
        super().setup(stage)
        if stage == "fit" and self.reference is not None:
            super().setup("test")  # report a faulty reference before training, not after it

    @property
    def network_names(self) -> tuple[str, ...]:
        return self._network_names

    def build(self, part: Part) -> Tensors:
        if part in ("train", "validate"):
            return self._points(BoundaryValueProblem(self.problem), validation=part == "validate")
        if part == "test" and self.reference is not None:
            known = read_measurements(self.reference, self.equation, "reference")
            there = ~known.values.isnan()
            given = torch.where(there, known.values, 0.0)
            check_finite(given.to(self.dtype), self.reference, known.unknowns)
            self.tested = [self.equation.unknowns.index(name) for name in known.unknowns]
            return (known.points, given) + ((there.double(),) if not there.all() else ())
        problem = BoundaryValueProblem(self.equation)
        dim, each = len(problem.domain.bounds), _TEST_POINTS_PER_AXIS
        while each > 2 and each**dim > _TEST_POINTS:
            each -= 1
        x = problem.domain.grid([each] * dim)
        if part == "predict":
            return (x,)
        return (x, problem.solution(x)) if problem.has_solution else self._points(problem, True)

    def use(self, problem: Equation) -> None:
        """Builds training and validation points for a changed copy of the equation.

        Test and prediction stay on the equation itself, and so does the known solution.

        Args:
            problem: The copy, with the same conditions.
        """
        self.problem, self._drawn = problem, False
        parts: tuple[Part, ...] = ("train", "validate")
        for part in parts:
            if part in self._parts:
                self.replace(part, self.build(part))

    def training_points(self) -> Tensor:
        """The corners of the domain: the equation holds up to them, wherever the points are."""
        return torch.tensor(domain_of(self.equation).bounds, dtype=torch.float64).T

    def divide(self, tensors: Tensors) -> tuple[Tensors, Mapping[str, Tensor]]:
        if isinstance(tensors, tuple):
            return tensors, {}
        cut = {name: tensor for name, tensor in tensors.items() if name in _CUT}
        return cut, {name: tensor for name, tensor in tensors.items() if name not in _CUT}

    def _points(self, problem: BoundaryValueProblem, validation: bool) -> dict[str, Tensor]:
        return self._drawn_points(problem, validation) | self._observed(problem.equation)

    def _observed(self, problem: Equation) -> dict[str, Tensor]:
        """The observations in the domain of a copy of the equation."""
        if self.observations is None:
            return {}
        if self._measured is None:
            path = self.observations
            self._measured = read_measurements(path, self.equation, "observations")
        return observed(self._measured, problem, self.noise)

    def _drawn_points(self, problem: BoundaryValueProblem, validation: bool) -> dict[str, Tensor]:
        each = self.condition_points
        if self.points is None:
            return problem_points(problem, GridPoints(self.points_per_axis, each, validation))
        generator = torch.Generator().manual_seed(2 * self.seed + validation)
        # The validation set stays, so it should cover the domain evenly.
        even = self.sampling == "sobol" or (self.sampling == "residual" and validation)
        return problem_points(problem, RandomPoints(generator, self.points, each, even))

    # -- redrawing --------------------------------------------------------------------------

    def redraws_after(self, epoch: int) -> bool:
        """Whether the training points are redrawn at the end of an epoch, counted from 0."""
        return self.redraw is not None and (epoch + 1) % self.redraw.every == 0

    def pool(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Fresh uniform points for :meth:`draw`, and the observations; on the CPU, in float64."""
        assert self.redraw is not None
        assert self.points is not None
        size = self.redraw.pool
        each = -(-self.condition_points * size // self.points)
        draw = RandomPoints(generator, size, each)
        points = problem_points(BoundaryValueProblem(self.problem), draw)
        return points | self._observed(self.problem)

    def draw(
        self, pool: dict[str, Tensor], residuals: Mapping[str, Tensor], generator: torch.Generator
    ) -> None:
        """Replaces the training points by points of a pool.

        Args:
            pool: From :meth:`pool`.
            residuals: Absolute residuals ``(n,)`` at the points of the equation, under
                ``collocation``, and of each condition, under its name.
            generator: Source of all random numbers.
        """
        own = self._parts["train"]
        assert self.redraw is not None
        assert isinstance(own, dict)
        if not all(bool(values.isfinite().all()) for values in residuals.values()):
            return  # training has diverged, which its loss will show
        drawn = {name: own[name] for name in OBSERVED if name in own}
        for name, values in residuals.items():
            if name in drawn:
                continue
            chosen = self.redraw.choose(values.double().cpu(), len(own[name]), generator)
            if self.trainer is not None:  # ranks may differ in rounding
                chosen = self.trainer.strategy.broadcast(chosen)
            together = _CUT if name == "collocation" else [f"{name}{end}" for end in _ENDINGS]
            drawn |= {key: pool[key][chosen] for key in together if key in pool}
        self._drawn = True
        self.replace("train", drawn)

    @property
    def drawn_points(self) -> Tensor | None:
        """The collocation points ``(n, d)`` of the last draw; None before the first."""
        train = self._parts.get("train")
        return train["collocation"] if self._drawn and isinstance(train, dict) else None

    def state_dict(self) -> dict[str, Any]:
        train = self._parts.get("train")
        if not self._drawn or not isinstance(train, dict):
            return {}
        return {"train": {name: train[name] for name in train if name not in OBSERVED}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.trainer is not None and self.trainer.state.fn == "fit":
            self._resumed = state_dict.get("train")

    def resume(self) -> None:
        """Restores the training points of a checkpoint that has been loaded.

        Raises:
            ConfigurationError: They do not fit the data of this run.
        """
        points, self._resumed = self._resumed, None
        own = self._parts["train"]
        assert isinstance(own, dict)
        if points is None or self.redraw is None:
            return
        measured = {name: own[name] for name in OBSERVED if name in own}
        _check_points(points, {name: own[name] for name in own if name not in measured})
        self._drawn = True
        self.replace("train", points | measured)


def _check_points(points: Any, own: Mapping[str, Tensor]) -> None:
    """Raises if the points in a checkpoint do not have the names and shapes of ``own``."""

    def shapes(tensors: Any) -> dict[str, tuple[int, ...]]:
        if not isinstance(tensors, dict):
            return {}
        return {
            name: tuple(tensor.shape)
            for name, tensor in tensors.items()
            if isinstance(tensor, Tensor) and tensor.is_floating_point()
        }

    if shapes(points) != shapes(own) or len(points) != len(own):
        raise ConfigurationError(
            f"the training points in the checkpoint are {shapes(points)}, but this run has "
            f"{shapes(own)}: use the settings of that run, or train again from the start"
        )


def _target(problem: BoundaryValueProblem) -> TargetFunction | None:
    """The solution as a target function on a box, if it is known and has one unknown."""
    if not problem.has_solution or len(problem.equation.unknowns) > 1 or problem.domain.dim:
        return None
    return TargetFunction(
        name=problem.name,
        formula=f"solution of {problem.name}",
        bounds=problem.domain.bounds,
        evaluate=lambda x: problem.solution(x)[:, 0],
    )
