"""Splits the rows of a table into training, validation and test sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError

if TYPE_CHECKING:
    from kanlit.data.base import Part

__all__ = ["LABELS", "PARTS", "label_split", "random_split", "reorder"]

PARTS: tuple[Part, ...] = ("train", "validate", "test")
"""The parts, in the order of their numbers."""

LABELS: Mapping[str, int] = {
    "train": 0,
    "training": 0,
    "validate": 1,
    "validation": 1,
    "valid": 1,
    "val": 1,
    "test": 2,
    "testing": 2,
}
"""Accepted names of the parts in a split column, and their numbers."""

_LEAST = (2, 1, 1)  # least number of rows per part


def random_split(
    path: str, rows: int, validation: float | None, test: float | None, seed: int
) -> tuple[Tensor, list[int]]:
    """Splits rows at random into training, validation and test sets.

    Args:
        path: The file, for messages.
        rows: Number of its rows.
        validation: Fraction of the rows for validation; None if validation has its own file.
        test: Fraction of the rows for the test; None if the test has its own file.
        seed: Seed of the split.

    Returns:
        Row indices ``(rows,)``, first training, then validation, then test, sorted in each part;
        and the number of rows of each part.

    Raises:
        ConfigurationError: A part has too few rows.
    """
    fractions = {"validation": validation, "test": test}
    taken = [0 if value is None else round(value * rows) for value in fractions.values()]
    sizes = [rows - sum(taken), *taken]
    drawn = [True, validation is not None, test is not None]
    if any(d and size < least for d, size, least in zip(drawn, sizes, _LEAST, strict=True)):
        parts = [
            f"{name}: {value} takes {count}"
            for (name, value), count in zip(fractions.items(), taken, strict=True)
            if value is not None
        ]
        held = f", of which {', '.join(parts)} and training {sizes[0]}" if parts else ""
        cure = (
            "add rows or change the fractions, so that training has at least 2 and the others 1"
            if parts
            else "training needs at least 2: add rows"
        )
        raise ConfigurationError(f"{path} has {rows} rows{held}: {cure}")
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    return torch.cat([part.sort().values for part in order.split(sizes)]), sizes


def label_split(path: str, column: str, labels: Tensor) -> tuple[Tensor, list[int]]:
    """Splits rows into training, validation and test sets by a column of the file.

    Args:
        path: The file, for messages.
        column: Name of the column, for messages.
        labels: Number of each row's part ``(rows,)``.

    Returns:
        The same as :func:`random_split`.

    Raises:
        ConfigurationError: A part has too few rows.
    """
    sizes = labels.bincount(minlength=len(PARTS)).tolist()
    for part, size, least in zip(PARTS, sizes, _LEAST, strict=True):
        if size < least:
            raise ConfigurationError(
                f"column {column!r} of {path} labels {size} rows {part}, but {part} needs at least "
                f"{least}: label more rows {part}, or remove split_column to split at random"
            )
    return labels.sort(stable=True).indices, sizes


def reorder(values: Tensor, order: Tensor) -> None:
    """Reorders the rows of ``values`` ``(rows, columns)`` in place, one column at a time."""
    for column in values.T:
        column.copy_(column[order])
