"""Checks of data sets before training starts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kanlit.errors import ConfigurationError

__all__ = ["check_finite", "check_fractions", "check_rows"]

_BLOCK = 65536  # rows per check, to bound the memory for the mask


def check_finite(values: Tensor, name: str, columns: Sequence[str] | None = None) -> None:
    """Raises if values are NaN or infinite.

    Args:
        values: ``(rows, columns)``, or ``(rows,)`` for a single column.
        name: Name of the tensor, for the message.
        columns: Names of the columns, for the message; None uses their numbers from 1.

    Raises:
        ConfigurationError: Names the first column with such values, their count, and the row of
            the first, counted from 1.
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


def check_rows(rows: int, ranks: int, part: str) -> None:
    """Raises if there are fewer rows than ranks.

    Raises:
        ConfigurationError: Names the part and the numbers.
    """
    if rows < ranks:
        raise ConfigurationError(
            f"{rows} rows of the {part} part are too few for {ranks} ranks: add rows or use fewer "
            f"devices"
        )


def check_fractions(validation: float | None, test: float | None) -> None:
    """Raises if fractions of the rows are out of range or leave no rows for training.

    Args:
        validation: Fraction of the rows for validation; None if validation has its own file.
        test: Fraction of the rows for the test; None if the test has its own file.

    Raises:
        ConfigurationError: Names the fraction and its value.
    """
    given = {"validation": validation, "test": test}
    fractions = {setting: value for setting, value in given.items() if value is not None}
    for setting, value in fractions.items():
        if not 0 < value < 1:
            raise ConfigurationError(
                f"{setting} must be a fraction between 0 and 1, got {value}: choose a value such "
                f"as 0.15"
            )
    if sum(fractions.values()) >= 1:
        raise ConfigurationError(
            f"validation {validation} and test {test} leave no rows for training: "
            "make their sum less than 1"
        )
