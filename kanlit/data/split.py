"""Which rows of a table train, validate and test."""

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
"""In the order of their numbers."""

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
"""What a column may call the parts, and their numbers."""

_LEAST = (2, 1, 1)  # rows: two points make a line, one makes an error


def random_split(
    path: str, rows: int, validation: float | None, test: float | None, seed: int
) -> tuple[Tensor, list[int]]:
    """Rows drawn into training, validation and test by the seed.

    Args:
        path: The file, for messages.
        rows: Number of its rows.
        validation: Share of them for validation; None where that has a file of its own.
        test: Share of them for the test; None where that has a file of its own.
        seed: Of the draw.

    Returns:
        Row numbers ``(rows,)``, training first, then validation, then test, rising in each; and
        the number of rows of each.

    Raises:
        ConfigurationError: A part is left with too few rows.
    """
    shares = {"validation": validation, "test": test}
    taken = [0 if share is None else round(share * rows) for share in shares.values()]
    sizes = [rows - sum(taken), *taken]
    drawn = [True, validation is not None, test is not None]
    if any(d and size < least for d, size, least in zip(drawn, sizes, _LEAST, strict=True)):
        parts = [
            f"{name}: {share} takes {count}"
            for (name, share), count in zip(shares.items(), taken, strict=True)
            if share is not None
        ]
        held = f", of which {', '.join(parts)} and training {sizes[0]}" if parts else ""
        cure = (
            "add rows or change the shares, so that training has 2 and the others 1"
            if parts
            else "training needs 2: add rows"
        )
        raise ConfigurationError(f"{path} has {rows} rows{held}: {cure}")
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    return torch.cat([share.sort().values for share in order.split(sizes)]), sizes


def label_split(path: str, column: str, labels: Tensor) -> tuple[Tensor, list[int]]:
    """Rows sorted into training, validation and test by a column of the file.

    Args:
        path: The file, for messages.
        column: The column's name, for messages.
        labels: The part of each row ``(rows,)``, by number.

    Returns:
        As :func:`random_split`.

    Raises:
        ConfigurationError: A part has too few rows.
    """
    sizes = labels.bincount(minlength=len(PARTS)).tolist()
    for part, size, least in zip(PARTS, sizes, _LEAST, strict=True):
        if size < least:
            raise ConfigurationError(
                f"column {column!r} of {path} names {size} rows {part}, which needs {least} or "
                f"more: write {part} in more rows, or leave split_column out and draw shares"
            )
    return labels.sort(stable=True).indices, sizes


def reorder(values: Tensor, order: Tensor) -> None:
    """Puts the rows of ``values`` ``(rows, columns)`` in this order, in place, by columns."""
    for column in values.T:
        column.copy_(column[order])
