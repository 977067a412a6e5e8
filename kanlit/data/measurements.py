"""Tables with values of the unknowns of an equation: measurements, or a reference solution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.hints import near
from kanlit.problems import Equation
from kanlit.problems.equation_domain import domain_of
from kanlit.problems.observations import OBSERVED
from kanlit.tables import data_columns, read_table

__all__ = ["Measurements", "Noise", "observed", "read_measurements"]

Noise = float | dict[str, float]


@dataclass(frozen=True)
class Measurements:
    """Values of unknowns at points.

    Attributes:
        points: ``(m, d)``, float64.
        unknowns: Names of the unknowns that have values.
        values: ``(m, len(unknowns))``, float64; NaN where a value is missing.
    """

    points: Tensor
    unknowns: tuple[str, ...]
    values: Tensor


def read_measurements(path: str, equation: Equation, setting: str) -> Measurements:
    """Reads a table whose columns are named like coordinates and unknowns.

    Values of unknowns may be missing.

    Args:
        path: The file, in a format of :func:`~kanlit.tables.read_table`.
        equation: The equation.
        setting: Name of the setting under ``data`` that has the path, for messages.

    Raises:
        ConfigurationError: The file cannot be read; a column is missing or is no coordinate or
            unknown; a point is outside the domain; there is no value.
    """
    coordinates, unknowns = equation.variables, equation.unknowns
    columns = data_columns(path, f"data.{setting}")
    for column in columns:
        if column not in (*coordinates, *unknowns):
            hint = near(column, [*coordinates, *unknowns], cutoff=0.5)
            raise ConfigurationError(
                f"column {column!r} of {path} is no coordinate or unknown of "
                f"{type(equation).__name__}: {hint}name it as one of "
                f"{', '.join((*coordinates, *unknowns))}, or remove it"
            )
    known = tuple(name for name in unknowns if name in columns)
    if not known:
        raise ConfigurationError(
            f"{path} has no values of {' or '.join(unknowns)}: add a column with that name"
        )
    table = read_table(path, [coordinates, known], setting=f"data.{setting}", gaps=known)
    points, values = table.groups
    for name, there in zip(known, values.isfinite().unbind(1), strict=True):
        if not bool(there.any()):
            raise ConfigurationError(
                f"{path} has no values in {name}: add rows with some, or remove the column"
            )
    domain = domain_of(equation)
    outside = ~domain.contains(points)
    if bool(outside.any()):
        first = int(outside.nonzero()[0])
        place = ", ".join(
            f"{name} = {value:.6g}"
            for name, value in zip(coordinates, points[first].tolist(), strict=True)
        )
        ends = ", ".join(
            f"{name} from {low:g} to {high:g}"
            for name, (low, high) in zip(coordinates, domain.bounds, strict=True)
        )
        if domain.dim:
            ends = f"a {type(domain).__name__} with {ends}"
        raise ConfigurationError(
            f"{int(outside.sum())} of {len(points)} rows of {path} are outside the domain of "
            f"{type(equation).__name__} ({ends}), the first in {table.place(first)} ({place}): "
            f"remove them, or change the domain"
        )
    return Measurements(points, known, values)


def observed(
    measurements: Measurements, equation: Equation, noise: Noise | None
) -> dict[str, Tensor]:
    """The measured values in the domain of an equation, one row per value.

    Args:
        measurements: The table.
        equation: The equation, whose domain may be a part of that of the table.
        noise: Standard deviation of the noise, of all unknowns or by name; None for 1.

    Returns:
        A batch for :func:`~kanlit.problems.observations.observation_residual`; empty if no value
        is in the domain.

    Raises:
        ConfigurationError: A standard deviation is missing or not positive, or is of an unknown
            without values.
    """
    levels = _levels(noise, measurements.unknowns)
    inside = domain_of(equation).contains(measurements.points)
    rows, columns = (measurements.values.isfinite() & inside.unsqueeze(1)).nonzero(as_tuple=True)
    if not len(rows):
        return {}
    weights = 1 / torch.tensor(levels, dtype=torch.float64)[columns]
    numbers = torch.tensor([equation.unknowns.index(name) for name in measurements.unknowns])
    scales = weights.new_zeros(len(rows), len(equation.unknowns))
    scales[torch.arange(len(rows)), numbers[columns]] = weights
    values = (measurements.values[rows, columns] * weights).unsqueeze(1)
    return dict(zip(OBSERVED, (measurements.points[rows], values, scales), strict=True))


def _levels(noise: Noise | None, unknowns: tuple[str, ...]) -> list[float]:
    """The standard deviation of each unknown's noise."""
    given = (
        noise
        if isinstance(noise, Mapping)
        else dict.fromkeys(unknowns, 1.0 if noise is None else noise)
    )
    for name in given:
        if name not in unknowns:
            raise ConfigurationError(
                f"noise has a level for {name!r}, of which there are no observations: give one for "
                f"each of {', '.join(unknowns)}"
            )
    for name in unknowns:
        if name not in given or not 0 < given[name] < inf:
            raise ConfigurationError(
                f"noise of {name} must be a standard deviation above 0, got {given.get(name)}: "
                f"give one such as 0.05"
            )
    return [float(given[name]) for name in unknowns]
