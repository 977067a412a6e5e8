"""The domain of an equation: its own, or the box of its bounds."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from kanlit.errors import ConfigurationError
from kanlit.problems.domains import Box, Domain
from kanlit.problems.equations.base import Equation
from kanlit.problems.functions.target import Bounds

__all__ = ["checked_domain", "domain_of"]


def domain_of(equation: Equation) -> Domain:
    """Where an equation holds: its ``domain``, or the box of its ``bounds``."""
    return Box(equation.bounds) if equation.domain is None else equation.domain


def checked_domain(equation: Equation) -> Domain:
    """The domain of an equation, as its user has written it.

    Raises:
        ConfigurationError: It is no domain, or its intervals do not fit the coordinates.
    """
    owner, coordinates = type(equation).__name__, equation.coordinates
    given: Any = equation.domain  # as written by the user
    if given is None:
        _check_bounds(owner, equation.bounds, coordinates)
        return domain_of(equation)
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
    further = coordinates[given.dim :]
    if given.axes and not further:
        raise ConfigurationError(
            f"domain of {owner} has axes {given.axes!r}, but there is no coordinate after "
            f"{', '.join(coordinates)}: add one to coordinates, or remove axes"
        )
    _check_bounds(owner, given.axes, further, "axes of the domain")
    return given


def _check_bounds(
    owner: str, bounds: Bounds, coordinates: Sequence[str], setting: str = "bounds"
) -> None:
    example = ", ".join("(0.0, 1.0)" for _ in coordinates)
    try:
        pairs = [(float(low), float(high)) for low, high in bounds]
    except (TypeError, ValueError):
        pairs = []
    if len(pairs) != len(coordinates):
        raise ConfigurationError(
            f"{setting} of {owner} must be a pair for each of {', '.join(coordinates)}, got "
            f"{bounds!r}: write {setting.split()[0]} = ({example},)"
        )
    for name, (low, high) in zip(coordinates, pairs, strict=True):
        if not (isfinite(low) and isfinite(high) and low < high):
            raise ConfigurationError(
                f"{setting} of {owner}: {name} ranges from {low:g} to {high:g}: give two finite "
                f"numbers, the lower first"
            )
