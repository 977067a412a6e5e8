"""Checks that every data set passes before training starts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kanlit.errors import ConfigurationError

__all__ = ["check_at_least", "check_finite", "check_rows", "check_shares"]

_BLOCK = 65536  # rows looked at together: the answer for all would be as large as they are


def check_finite(values: Tensor, name: str, columns: Sequence[str] | None = None) -> None:
    """Refuse NaN and infinite values.

    Args:
        values: ``(rows, columns)``, or ``(rows,)`` for a single column.
        name: What the tensor is, for the message.
        columns: The columns' names, for the message; without them their numbers from 1.

    Raises:
        ConfigurationError: Names the first column with such values, how many there are, and
            the row of the first, counted from 1.
    """
    if all(bool(block.isfinite().all()) for block in values.split(_BLOCK)):
        return
    finite = values.isfinite().reshape(len(values), -1)
    column = int((~finite).any(0).nonzero()[0])
    bad = ~finite[:, column]
    label = repr(columns[column]) if columns is not None else str(column + 1)
    raise ConfigurationError(
        f"column {label} of {name} has {int(bad.sum())} NaN or infinite values in "
        f"{values.dtype}, the first in row {int(bad.nonzero()[0]) + 1}: remove or replace them"
    )


def check_at_least(name: str, value: int, least: int) -> None:
    """Refuse a count under ``least``.

    Raises:
        ConfigurationError: Names the setting, its value and the least value.
    """
    if value < least:
        raise ConfigurationError(f"{name} must be at least {least}, got {value}: raise it")


def check_rows(rows: int, processes: int, part: str) -> None:
    """Refuse rows of which some process would have none.

    Raises:
        ConfigurationError: Names the part and the numbers.
    """
    if rows < processes:
        raise ConfigurationError(
            f"{rows} rows of the {part} part are too few for {processes} processes: add rows or "
            f"use fewer devices"
        )


def check_shares(validation: float | None, test: float | None) -> None:
    """Refuse shares of the rows that are none, or that leave nothing to train on.

    Args:
        validation: Share of the rows that validates; None where it has a file of its own.
        test: Share of the rows for the test, likewise.

    Raises:
        ConfigurationError: Names the share and its value.
    """
    given = {"validation": validation, "test": test}
    shares = {setting: share for setting, share in given.items() if share is not None}
    for setting, share in shares.items():
        if not 0 < share < 1:
            raise ConfigurationError(
                f"{setting} must be a share between 0 and 1, got {share}: choose one such as 0.15"
            )
    if sum(shares.values()) >= 1:
        raise ConfigurationError(
            f"validation {validation} and test {test} leave nothing to train on: "
            "make their sum less than 1"
        )
