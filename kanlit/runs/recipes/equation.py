"""Settings of a run on a differential equation, some of them chosen by the equation."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from kanlit.modules.solution import TIME
from kanlit.problems import BoundaryValueProblem, Equation
from kanlit.problems.equation_domain import domain_of
from kanlit.runs.recipes.base import Recipe

__all__ = ["EQUATION"]

_STAGES, _EPOCHS_PER_STAGE = 10, 10  # stages of a horizon, or windows


def _leaves(key: str) -> bool:
    """Whether a setting of the user is another optimizer: the other settings belong to this one."""
    return key.startswith(("model.optimizer", "model.lr_scheduler"))


def _settings(parse: Callable[[], Namespace], given: Collection[str]) -> dict[str, Any] | None:
    """Levenberg-Marquardt in float64 on splines of degree 5.

    Points are drawn where the residual is large; G grows in stages; the weights with the best
    validation loss are kept. If the equation has a derivative in the coordinate t and no
    condition at its end, the end of time grows in stages as well; where nothing is damped, time is
    divided into windows instead. With unknown coefficients, all of the time is trained at once.
    """
    config = parse()
    equation = _equation(config)
    if equation is None:
        return None
    problem = BoundaryValueProblem(equation)
    data: dict[str, Any] = {"condition_points": 200}
    if not {"data.points_per_axis", "data.sampling"}.intersection(given):
        draw = {"class_path": "ResidualDraw", "init_args": {"pool": 20000, "every": 5}}
        data |= {"sampling": "residual", "points": 2500, "redraw": draw}
    model: dict[str, Any] = {
        "hidden": [6, 6],
        "spline_order": 5,
        # Near a small hole the residual would outweigh the conditions.
        "boundary_weight": 1000.0 if problem.domain.dim else 100.0,
        "optimizer": {"class_path": "LevenbergMarquardt", "init_args": {"relative_ridge": 1e-3}},
    }
    if "adaptation.schedule" not in given:
        model["grid_size"] = 6
    evolves = _evolves(problem) and not problem.coefficients  # which early times determine badly
    carried = evolves and _is_carried(problem)
    epochs = 400 if carried else 200
    if "trainer.max_epochs" in given:
        epochs = config.trainer.max_epochs or 0
    staged = evolves and epochs >= _STAGES * _EPOCHS_PER_STAGE
    adaptation: dict[str, Any] = {"schedule": [6, 6, 8, 8, 10, 10, 12, 12, 12, 12]}
    callbacks: list[dict[str, Any]] = [{"class_path": "KeepBest"}]
    if staged and carried:
        callbacks.insert(0, {"class_path": "TimeWindows", "init_args": {"windows": _STAGES}})
        model["boundary_weight"] = 1000.0  # nothing damps an error at a window's start
        if "adaptation.schedule" not in given:
            often = {"class_path": "PeriodicTrigger", "init_args": {"every": 10}}
            adaptation = {"schedule": [6, 8, 8, 8, 10], "trigger": often}
    elif staged:
        callbacks.insert(0, _horizon(equation, epochs))
    return {
        "data": {"class_path": "EquationData", "init_args": data},
        "model": {"class_path": "PDEModule", "init_args": model},
        "adaptation": {"optimizer_state": "keep", **adaptation},
        "trainer": {
            "max_epochs": epochs,
            "precision": "64-true",
            "check_val_every_n_epoch": 10,
            "log_every_n_steps": 1,
            "callbacks": callbacks,
        },
    }


def _equation(config: Namespace) -> Equation | None:
    """The equation of these settings."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Equation, "equation")
    try:
        given = {"equation": config.data.init_args.equation.as_dict()}
        found: Equation = parser.instantiate_classes(parser.parse_object(given)).equation
    except (ArgumentError, AttributeError, TypeError, ValueError):
        return None
    return found


def _evolves(problem: BoundaryValueProblem) -> bool:
    """Whether the solution spreads from an initial condition."""
    coordinates = problem.equation.coordinates
    if TIME not in coordinates:
        return False
    axis = coordinates.index(TIME)
    if not any(problem.orders_in(axis)):
        return False
    return not any((axis, 1) in faces for faces in problem.faces.values())


def _is_carried(problem: BoundaryValueProblem) -> bool:
    """Whether nothing is damped: the highest derivative is odd in t and each other coordinate."""
    coordinates = problem.equation.coordinates
    odd = all(max(problem.orders_in(axis)) % 2 for axis in range(len(coordinates)))
    return odd and problem.form.column_of(coordinates.index(TIME)) is not None


def _horizon(equation: Equation, epochs: int) -> dict[str, Any]:
    """The end of time in stages, half of the epochs after the last one."""
    low, high = domain_of(equation).bounds[equation.coordinates.index(TIME)]
    each = epochs // (2 * _STAGES)
    ends = [low + (high - low) * (stage + 1) / _STAGES for stage in range(_STAGES - 1)]
    schedule = {each * stage: end for stage, end in enumerate(ends)} | {each * (_STAGES - 1): None}
    return {"class_path": "Horizon", "init_args": {"coordinate": TIME, "schedule": schedule}}


EQUATION = Recipe(_leaves, _settings)
