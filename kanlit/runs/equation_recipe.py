"""Settings of a run on an equation, chosen where the user sets none."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from kanlit.modules.solution import TIME
from kanlit.problems import BoundaryValueProblem, Equation

__all__ = ["recipe_for", "takes_recipe"]

_STAGES, _EPOCHS_PER_STAGE = 10, 10


def takes_recipe(data: str, given: Collection[str]) -> bool:
    """Whether a run gets the recipe: data is EquationData, and no optimizer is set.

    Its settings belong to least squares; with another optimizer, all are left to the user.

    Args:
        data: Class name of the data.
        given: Keys that the user sets.
    """
    own = ("model.optimizer", "model.lr_scheduler")
    return data == "EquationData" and not any(key.startswith(own) for key in given)


def recipe_for(config: Namespace, given: Collection[str]) -> dict[str, Any] | None:
    """The recipe as a config that lies below those of the user.

    Levenberg-Marquardt in float64 on splines of degree 5; points drawn where the residual is large;
    G grows in stages; the weights with the best validation loss. If the equation has a
    derivative in the coordinate t and no condition at its end, the end of time grows in stages too.

    Args:
        config: The settings without the recipe.
        given: Keys that the user sets; the recipe leaves out what contradicts them.

    Returns:
        The config, or None if the equation cannot be created, which is reported where it is used.
    """
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
        "boundary_weight": 100.0,
        "optimizer": {"class_path": "LevenbergMarquardt", "init_args": {"relative_ridge": 1e-3}},
    }
    if "adaptation.schedule" not in given:
        model["grid_size"] = 6
    epochs = 200
    if "trainer.max_epochs" in given:
        epochs = config.trainer.max_epochs or 0
    callbacks: list[dict[str, Any]] = [{"class_path": "KeepBest"}]
    if _evolves(problem) and epochs >= _STAGES * _EPOCHS_PER_STAGE:
        callbacks.insert(0, _horizon(equation, epochs))
    return {
        "data": {"class_path": "EquationData", "init_args": data},
        "model": {"class_path": "PDEModule", "init_args": model},
        "adaptation": {"optimizer_state": "keep", "schedule": [6, 6, 8, 8, 10, 10, 12, 12, 12, 12]},
        "trainer": {
            "max_epochs": epochs,
            "precision": "64-true",
            "check_val_every_n_epoch": 10,
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


def _horizon(equation: Equation, epochs: int) -> dict[str, Any]:
    """The end of time in stages, half of the epochs after the last one."""
    low, high = equation.bounds[equation.coordinates.index(TIME)]
    each = epochs // (2 * _STAGES)
    ends = [low + (high - low) * (stage + 1) / _STAGES for stage in range(_STAGES - 1)]
    schedule = {each * stage: end for stage, end in enumerate(ends)} | {each * (_STAGES - 1): None}
    return {"class_path": "Horizon", "init_args": {"coordinate": TIME, "schedule": schedule}}
