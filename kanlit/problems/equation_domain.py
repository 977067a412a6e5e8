"""The domain of an equation: its own, or the box of its bounds, times ranges of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from kanlit.errors import ConfigurationError
from kanlit.problems.domains import Box, Domain
from kanlit.problems.equations.base import Equation
from kanlit.problems.functions.target import Bounds

__all__ = ["check_parameters", "checked_domain", "domain_of", "own_domain"]


def own_domain(equation: Equation) -> Domain:
    """The ``domain`` of an equation, or the box of its ``bounds``, without its parameters."""
    return Box(equation.bounds) if equation.domain is None else equation.domain


def domain_of(equation: Equation) -> Domain:
    """Where an equation holds, in its variables: its own domain times the parameters' ranges."""
    own = own_domain(equation)
    return own.with_axes((*own.axes, *equation.parameters.values()))


def check_parameters(equation: Equation) -> None:
    """Raises unless the parameters of an equation are ranges by name.

    Raises:
        ConfigurationError: They are not, or one is the name of a coordinate.
    """
    owner, given = type(equation).__name__, equation.parameters
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"parameters of {owner} must be a dict of ranges by name, got {given!r}: write "
            f'parameters = {{"viscosity": (0.01, 0.1)}}'
        )
    for name in given:
        if name in equation.coordinates:
            raise ConfigurationError(
                f"parameter {name} of {owner} is a coordinate, too: rename one of them"
            )
    example = ", ".join(f'"{name}": (0.0, 1.0)' for name in given)
    _check_bounds(owner, tuple(given.values()), tuple(given), "parameters", f"{{{example}}}")


def checked_domain(equation: Equation) -> Domain:
    """The domain of an equation, checked as its user has written it, times parameters' ranges.

    Raises:
        ConfigurationError: It is no domain, or its intervals do not fit the coordinates.
    """
    _check_own_domain(equation)
    return domain_of(equation)


def _check_own_domain(equation: Equation) -> None:
    owner, coordinates = type(equation).__name__, equation.coordinates
    given: Any = equation.domain  # as written by the user
    if given is None:
        _check_bounds(owner, equation.bounds, coordinates)
        return
    if not isinstance(given, Domain):
        raise ConfigurationError(
            f"domain of {owner} must be a domain of kanlit, such as Polygon, got {given!r}: for a "
            f"box, set bounds"
        )
    if given.dim > len(coordinates):
        raise ConfigurationError(
            f"domain of {owner} has {given.dim} coordinates, but the equation has "
            f"{', '.join(coordinates)}: name them all"
        )
    shaped = coordinates[: given.dim]
    if given.names is not None and tuple(given.names) != shaped:
        raise ConfigurationError(
            f"domain of {owner} has the coordinates {', '.join(given.names)}, but those of the "
            f"equation begin with {', '.join(shaped)}: use the same names, in the same order"
        )
    further = coordinates[given.dim :]
    if given.axes and not further:
        raise ConfigurationError(
            f"domain of {owner} has axes {given.axes!r}, but there is no coordinate after "
            f"{', '.join(coordinates)}: add one to coordinates, or remove axes"
        )
    _check_bounds(owner, given.axes, further, "axes of the domain")


def _check_bounds(
    owner: str,
    bounds: Bounds,
    coordinates: Sequence[str],
    setting: str = "bounds",
    example: str | None = None,
) -> None:
    example = example or "({},)".format(", ".join("(0.0, 1.0)" for _ in coordinates))
    try:
        pairs = [(float(low), float(high)) for low, high in bounds]
    except (TypeError, ValueError):
        pairs = []
    if len(pairs) != len(coordinates):
        raise ConfigurationError(
            f"{setting} of {owner} must be a pair for each of {', '.join(coordinates)}, got "
            f"{bounds!r}: write {setting.split()[0]} = {example}"
        )
    for name, (low, high) in zip(coordinates, pairs, strict=True):
        if not (isfinite(low) and isfinite(high) and low < high):
            raise ConfigurationError(
                f"{setting} of {owner}: {name} ranges from {low:g} to {high:g}: give two finite "
                f"numbers, the lower first"
            )
