"""Pictures of a differential equation: its solution, and the points where it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from matplotlib.figure import Figure
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import QhullError
from torch import Tensor

from kanlit.callbacks.training_samples import evaluating
from kanlit.data import EquationData
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule
from kanlit.nn import KANLayer
from kanlit.plotting import (
    InputKnots,
    Slice,
    animate_solution,
    points_figure,
    slices_figure,
    solution_figure,
)
from kanlit.problems import BoundaryValueProblem, Domain, Equation
from kanlit.problems.equation_domain import domain_of

__all__ = ["animated_solution", "has_map", "knot_places", "points_picture", "solution_picture"]

_ALONG = 4001  # places of a coordinate at which the network's inputs are calculated
_ASIDE = 2**0.5 - 1  # of the width of the other coordinate
_ROWS = 8192  # rows per evaluation
_FRAMES = 41
_NEAR = 0.05  # of the width of a coordinate, from a slice to points that are drawn on it


def has_map(data: object) -> bool:
    """Whether the data are of an equation in two or three coordinates."""
    return isinstance(data, EquationData) and len(data.equation.coordinates) in (2, 3)


def solution_picture(
    module: PDEModule, data: EquationData, first: KANLayer, points: Tensor | None = None
) -> Figure:
    """Prediction, reference, error and residual of an equation in two or three coordinates.

    With three, the third is held at its start, middle and end, or at the quarters of its range if
    it is a coordinate of a shape. Parameters are at the middle of
    their ranges. Of a run with windows of time, the maps are of all windows, and points and
    breakpoints of the last.

    Args:
        module: The trained module.
        data: Its data.
        first: The first layer of its network.
        points: Collocation points ``(n, d)``; those that the data have by default.
    """
    found = _Solution(module, data, points)
    equal, bounds = found.problem.domain.dim >= 2, found.problem.domain.bounds
    names, unknowns = data.equation.coordinates, data.equation.unknowns
    with found.of_all_time():
        knots = list(knot_places(module, first.breakpoints))
        if len(names) == 2:
            shown = found.at({}, (0, 1))
            return solution_figure(
                bounds[:2],
                names,
                unknowns,
                shown.predict,
                shown.residual,
                shown.points,
                knots,
                shown.reference,
                found.title,
                equal,
            )
        low, high = bounds[2]
        edge = (high - low) / 4 if found.problem.domain.dim > 2 else 0.0
        places = low + edge, (low + high) / 2, high - edge
        slices = [found.at({2: value}, (0, 1)) for value in places]
        return slices_figure(bounds[:2], names, unknowns, slices, knots, found.title, equal)


def animated_solution(module: PDEModule, data: EquationData, name: str, path: Path) -> None:
    """Writes an animation of the solution along a coordinate or parameter.

    Args:
        module: The trained module.
        data: Its data.
        name: The coordinate or parameter. Further parameters are at the middle of their ranges.
        path: A .gif or .mp4 file.

    Raises:
        ConfigurationError: It is neither of these, or no coordinate or more than two are left.
    """
    equation = data.equation
    if name not in equation.variables:
        raise ConfigurationError(
            f"cannot animate {name}, which is no coordinate or parameter of "
            f"{type(equation).__name__}: choose from {', '.join(equation.variables)}"
        )
    found = _Solution(module, data, None)
    moved = equation.variables.index(name)
    axes = tuple(axis for axis in range(len(equation.coordinates)) if axis != moved)
    shaped = [axis for axis in axes if axis < found.problem.domain.dim]
    if moved < found.problem.domain.dim or len(axes) not in (1, 2):
        raise ConfigurationError(
            f"cannot animate {name}: the pictures are of one or two coordinates, and of those of a "
            f"shape together: choose from {', '.join(equation.variables)} another that leaves "
            f"such coordinates"
        )
    bounds = found.problem.domain.bounds
    with found.of_all_time():
        animate_solution(
            path,
            tuple(bounds[axis] for axis in axes),
            [equation.variables[axis] for axis in axes],
            equation.unknowns,
            [
                found.at({moved: value}, axes)
                for value in torch.linspace(*bounds[moved], _FRAMES).tolist()
            ],
            found.title,
            len(shaped) == 2,
        )


class _Solution:
    """The solution of a trained module, its residual and its reference.

    Args:
        module: The trained module.
        data: Its data.
        points: Collocation points ``(n, d)``; those that the data have by default.
    """

    def __init__(self, module: PDEModule, data: EquationData, points: Tensor | None) -> None:
        self.problem = BoundaryValueProblem(data.equation)
        self._module = module
        if points is None:
            points = data.drawn_points
        if points is None:
            built = data.build("train")
            assert isinstance(built, dict)
            points = built["collocation"]
        self._points = points.double().cpu()
        self._reference = _reference(data, self.problem)
        low, high = torch.tensor(self.problem.domain.bounds, dtype=torch.float64).unbind(1)
        self._middle, self._reach = (low + high) / 2, _NEAR * (high - low)

    @property
    def title(self) -> str:
        """The equation, and the values at which its parameters are held."""
        names = self.problem.equation.variables
        held = range(len(self.problem.equation.coordinates), len(names))
        return self.problem.name + "".join(
            f", {names[axis]} = {float(self._middle[axis]):.3g}" for axis in held
        )

    @contextmanager
    def of_all_time(self) -> Iterator[None]:
        """The module solves the equation itself, and not that of a stage or window."""
        trained = self._module.problem
        self._module.problem = self.problem.equation
        try:
            yield
        finally:
            self._module.problem = trained

    def at(self, held: Mapping[int, float], axes: Sequence[int]) -> Slice:
        """The solution along some axes, with others held at a value, and the rest at the middle."""
        at = self._middle.clone()
        near = torch.ones(len(self._points), dtype=torch.bool)
        for axis, value in held.items():
            at[axis] = value
            near &= (self._points[:, axis] - value).abs() <= self._reach[axis]

        def along(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
            def there(x: Tensor) -> Tensor:
                points = at.repeat(len(x), 1)
                points[:, list(axes)] = x
                return _within(self.problem.domain, function, points)

            return there

        names = self.problem.equation.variables
        return Slice(
            ", ".join(f"{names[axis]} = {value:.3g}" for axis, value in held.items()),
            along(self._predict),
            along(lambda x: _residual(self._module, self.problem, x)),
            self._points[near][:, list(axes)],
            None if self._reference is None else along(self._reference),
        )

    def _predict(self, x: Tensor) -> Tensor:
        module = self._module
        like = next(p for p in module.parameters() if p.is_floating_point())
        with evaluating(module):
            return torch.cat([module(rows.to(like)).double().cpu() for rows in x.split(_ROWS)])


def _reference(
    data: EquationData, problem: BoundaryValueProblem
) -> Callable[[Tensor], Tensor] | None:
    """The solution of an equation: its reference values, linear between points, or the exact one.

    It is NaN where there are no values.
    """
    if data.reference is None:
        return problem.solution if problem.has_solution else None
    test: Any = data.build("test")  # points, values, and where there are some
    x, values, *given = (each.double().numpy() for each in test)
    there = given[0] > 0 if given else np.ones(values.shape, dtype=bool)
    curves: dict[int, Any] = {}
    for i, unknown in enumerate(data.tested or ()):
        rows = there[:, i]
        try:
            curves[unknown] = LinearNDInterpolator(x[rows], values[rows, i], rescale=True)
        except (QhullError, ValueError):  # too few points, or all in one plane
            continue

    def known(points: Tensor) -> Tensor:
        found = points.new_full((len(points), len(problem.equation.unknowns)), torch.nan)
        for unknown, curve in curves.items():
            found[:, unknown] = torch.from_numpy(curve(points.numpy()))
        return found

    return known


def points_picture(module: LightningModule, data: EquationData, points: Tensor) -> Figure:
    """Drawn collocation points over the residual of the equation that is trained now.

    Args:
        module: Its ``sample_losses`` gives squared residuals.
        data: Its data.
        points: The drawn points ``(n, d)``.
    """
    problem = BoundaryValueProblem(data.problem)
    return points_figure(
        lambda x: _within(problem.domain, lambda inside: _residual(module, problem, inside), x),
        problem.domain.bounds,
        points,
        data.input_names,
        f"{problem.name}: training points and residual",
    )


def _within(domain: Domain, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Values of a function at the points ``(n, d)`` in a domain, and NaN at those outside."""
    inside = domain.contains(x)
    values = function(x[inside])
    found = values.new_full((len(x), *values.shape[1:]), torch.nan)
    found[inside] = values
    return found


def _residual(module: LightningModule, problem: BoundaryValueProblem, x: Tensor) -> Tensor:
    """Absolute residual ``(n,)`` at points ``(n, d)``; of a system, the norm of all."""
    like = next(p for p in module.parameters() if p.is_floating_point())
    found = []
    for rows in x.split(_ROWS):
        batch = {"collocation": rows, **problem.given_within(rows)}
        with evaluating(module):
            losses: Tensor = module.sample_losses(  # type: ignore[operator]
                {name: tensor.to(like) for name, tensor in batch.items()}
            )
        found.append(losses.sqrt().double().cpu())
    return torch.cat(found)


def knot_places(module: PDEModule, breakpoints: Tensor) -> Iterator[InputKnots]:
    """Where along a coordinate each input of the network is at one of its breakpoints.

    Inputs that depend on several coordinates, or on none, are left out.

    Args:
        module: The trained module; only the first two coordinates are considered.
        breakpoints: Of the first layer ``(in, G+1)``.
    """
    equation = module.problem
    assert equation is not None
    knots = breakpoints.detach().double().cpu()
    lines = [_line(equation, axis) for axis in range(len(equation.variables))]
    inputs = [module.network_inputs(line.to(breakpoints)).double().cpu().T for line in lines]
    changes = [(values - values[:, :1]).abs().amax(1) > 0 for values in inputs]  # (in,) each
    for i, name in enumerate(BoundaryValueProblem(equation).form.inputs):
        along = [axis for axis, changed in enumerate(changes) if bool(changed[i])]
        if along not in ([0], [1]):
            continue
        (axis,) = along
        name = name if module.window_edges is None else f"{name} (last window)"
        yield InputKnots(name, axis, _crossings(lines[axis][:, axis], inputs[axis][i], knots[i]))


def _line(equation: Equation, axis: int) -> Tensor:
    """Points ``(n, d)`` along a coordinate, at a place of the others where nothing vanishes."""
    bounds = domain_of(equation).bounds
    low, high = torch.tensor(bounds, dtype=torch.float64).unbind(1)
    line = torch.lerp(low, high, _ASIDE).repeat(_ALONG, 1)
    line[:, axis] = torch.linspace(*bounds[axis], _ALONG, dtype=torch.float64)
    return line


def _crossings(x: Tensor, values: Tensor, levels: Tensor) -> Tensor:
    """Places where values ``(n,)``, linear between x ``(n,)``, are at one of the levels."""
    above = values - levels.unsqueeze(1)  # (levels, n)
    low, high = above[:, :-1], above[:, 1:]
    level, start = torch.nonzero((low * high < 0) | (low == 0), as_tuple=True)
    fraction = low[level, start] / (low[level, start] - high[level, start])
    inside = x[start] + fraction * (x[start + 1] - x[start])
    last = x[-1:].repeat(int((above[:, -1] == 0).sum()))
    return torch.cat([inside, last]).sort().values
