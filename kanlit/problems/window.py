"""An equation on a window of its time, started from the end of the window before."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from kanlit.chain_rule import Along
from kanlit.errors import ConfigurationError
from kanlit.problems.boundary_value_problem import BoundaryValueProblem
from kanlit.problems.conditions import Condition, dirichlet
from kanlit.problems.equation_domain import own_domain
from kanlit.problems.equations.base import Equation

__all__ = ["on_window", "tied", "with_bounds"]

Before = Callable[[int, Along, Tensor], Tensor]


def with_bounds(equation: Equation, axis: int, low: float, high: float) -> Equation:
    """A copy of an equation with other ends of a coordinate.

    Raises:
        ConfigurationError: Its bounds cannot be set, or the coordinate is one of a shape.
    """
    domain = own_domain(equation).with_ends(axis, low, high)
    found = copy.copy(equation)
    name, value = ("bounds", domain.bounds) if equation.domain is None else ("domain", domain)
    try:
        object.__setattr__(found, name, value)
    except AttributeError:
        raise ConfigurationError(
            f"{name} of {type(equation).__name__} cannot be set, so its horizon cannot change: "
            f"make it an attribute, not a property"
        ) from None
    return found


def on_window(
    equation: Equation, axis: int, low: float, high: float, conditions: Sequence[Condition]
) -> Equation:
    """A copy of an equation on a window of a coordinate, with other conditions."""
    found = with_bounds(equation, axis, low, high)
    listed = list(conditions)
    object.__setattr__(found, "conditions", lambda: listed)
    return found


def tied(problem: BoundaryValueProblem, axis: int, before: Before) -> list[Condition]:
    r"""The conditions of a later window: :math:`\partial_t^m u = \partial_t^m u_{before}`.

    They replace those at the start of the time t, for each unknown u and each m below the order of
    its highest derivative in t. Names and weights are those of the conditions that are replaced.

    Args:
        problem: The equation on all of its time.
        axis: Index of t.
        before: Gives an unknown or a derivative ``(n, 1)`` by the window before, from the index of
            the unknown, the derivative as a multi-index, and points ``(n, d)``.
    """
    equation = problem.equation
    time = equation.coordinates[axis]
    kept: list[Condition] = []
    replaced: dict[tuple[int, Along], Condition] = {}
    for condition in equation.conditions():
        if not isinstance(condition.on, Mapping):
            kept.append(condition)
            continue
        elsewhere = {name: side for name, side in condition.on.items() if name != time}
        if elsewhere:
            kept.append(replace(condition, on=elsewhere))
        if len(elsewhere) < len(condition.on):
            replaced |= dict.fromkeys(problem.terms_of(condition), condition)
    names = {condition.name for condition in kept}
    ties = []
    for unknown, order in enumerate(problem.orders_in(axis)):
        for m in range(order):
            along = (axis,) * m
            term = equation.unknowns[unknown] + "_" * bool(m) + time * m
            was = replaced.get((unknown, along))
            name, weight = (f"start_{term}", 1.0) if was is None else (was.name, was.weight)
            name = f"start_{term}" if name in names else name
            names.add(name)
            given = partial(before, unknown, along)
            ties.append(dirichlet(name, {time: "low"}, given, term, weight))
    return [*kept, *ties]
