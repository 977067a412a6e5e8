"""Checks of what a user's function returns, and where it fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from kanlit.errors import ConfigurationError

__all__ = ["as_columns", "first_place"]


def as_columns(values: Any, rows: int, columns: int, label: str) -> Tensor:
    """Checks for shape ``(rows, columns)``; ``(rows,)`` counts as one column.

    Raises:
        ConfigurationError: If it is not a tensor of that shape.
    """
    if not isinstance(values, Tensor):
        raise ConfigurationError(
            f"{label} returned {type(values).__name__}, not a tensor: return one "
            f"({rows}, {columns})"
        )
    if values.shape == (rows,) and columns == 1:
        return values.unsqueeze(1)
    if values.shape != (rows, columns):
        raise ConfigurationError(
            f"{label} returned a tensor {tuple(values.shape)} for {rows} points: it must be "
            f"({rows}, {columns}), with one row per point"
        )
    return values


def first_place(coordinates: Sequence[str], points: Tensor, bad: Tensor) -> str:
    """The first of the bad points, such as ``x = 0.5, t = 1``.

    Args:
        coordinates: Names of the columns of the points.
        points: ``(n, d)``.
        bad: Which points are bad, bool ``(n,)``, at least one.
    """
    found = zip(coordinates, points[bad][0].tolist(), strict=True)
    return ", ".join(f"{name} = {value:.6g}" for name, value in found)
