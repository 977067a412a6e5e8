"""Pictures of a differential equation: its solution, and the points where it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from lightning.pytorch import LightningModule
from matplotlib.figure import Figure
from torch import Tensor

from kanlit.callbacks.training_samples import evaluating
from kanlit.data import EquationData
from kanlit.modules import PDEModule
from kanlit.nn import KANLayer
from kanlit.plotting import InputKnots, points_figure, solution_figure
from kanlit.problems import BoundaryValueProblem, Domain, Equation
from kanlit.problems.equation_domain import domain_of

__all__ = ["has_map", "knot_places", "points_picture", "solution_picture"]

_ALONG = 4001  # places of a coordinate at which the network's inputs are calculated
_ASIDE = 2**0.5 - 1  # of the width of the other coordinate
_ROWS = 8192  # rows per evaluation


def has_map(data: object) -> bool:
    """Whether the data are of an equation in two coordinates."""
    return isinstance(data, EquationData) and len(data.equation.coordinates) == 2


def solution_picture(
    module: PDEModule, data: EquationData, first: KANLayer, points: Tensor | None = None
) -> Figure:
    """Prediction, reference, error and residual of an equation in two coordinates.

    Of a run with windows of time, the maps are of all windows, and points and breakpoints of the
    last.

    Args:
        module: The trained module.
        data: Its data.
        first: The first layer of its network.
        points: Collocation points ``(n, 2)``; those that the data have by default.
    """
    if points is None:
        points = data.drawn_points
    if points is None:
        built = data.build("train")
        assert isinstance(built, dict)
        points = built["collocation"]
    equation, trained = data.equation, module.problem
    problem = BoundaryValueProblem(equation)
    like = next(p for p in module.parameters() if p.is_floating_point())

    def predict(x: Tensor) -> Tensor:
        with evaluating(module):
            return torch.cat([module(rows.to(like)).double().cpu() for rows in x.split(_ROWS)])

    def within(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda x: _within(problem.domain, function, x)

    module.problem = equation  # not that of a stage or window
    try:
        return solution_figure(
            problem.domain.bounds,
            equation.coordinates,
            equation.unknowns,
            within(predict),
            within(lambda x: _residual(module, problem, x)),
            points,
            list(knot_places(module, first.breakpoints)),
            within(problem.solution) if problem.has_solution else None,
            problem.name,
        )
    finally:
        module.problem = trained


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
        module: The equation that it solves has two coordinates.
        breakpoints: Of the first layer ``(in, G+1)``.
    """
    equation = module.problem
    assert equation is not None
    knots = breakpoints.detach().double().cpu()
    lines = [_line(equation, axis) for axis in (0, 1)]
    inputs = [module.network_inputs(line.to(breakpoints)).double().cpu().T for line in lines]
    changes = [(values - values[:, :1]).abs().amax(1) > 0 for values in inputs]  # (in,) each
    for i, name in enumerate(BoundaryValueProblem(equation).form.inputs):
        if changes[0][i] == changes[1][i]:
            continue
        axis = int(changes[1][i])
        name = name if module.window_edges is None else f"{name} (last window)"
        yield InputKnots(name, axis, _crossings(lines[axis][:, axis], inputs[axis][i], knots[i]))


def _line(equation: Equation, axis: int) -> Tensor:
    """Points ``(n, 2)`` along a coordinate, at a place of the other where nothing vanishes."""
    bounds = domain_of(equation).bounds
    low, high = torch.tensor(bounds, dtype=torch.float64).unbind(1)
    line = torch.lerp(low, high, _ASIDE).expand(_ALONG, 2).clone()
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
