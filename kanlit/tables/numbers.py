"""Converts a column's values to numbers or labels, and reports invalid values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.tables.base import TableFile

__all__ = ["Fault", "labels_of", "numbers_of"]

_UNKNOWN = -1


# Common causes of text that is not a number, and what to do.
_TIME = r"\d{4}-\d\d?-\d\d?.*|\d\d?[./]\d\d?[./]\d\d.*|\d+ days? .*"
_CURES = {
    r"#.*": "this is a comment: remove the line",
    r"[+-]?[\d.']*\d(,\d+)+(\.\d*)?([eE][+-]?\d+)?": (
        "write decimals with a point, and thousands without separators"
    ),
    _TIME: "this is a time: write it as a number, such as hours since the first row",
    r"−.*": "write the minus sign as -",
    r".*\d\s*%": "write 0.5 for 50%",
    r"(?i:true|false)": "write 1 and 0",
}


@dataclass
class Fault:
    """The most severe kind of invalid values in a column, their count and the first one.

    Attributes:
        kind: ``text``, ``missing or NaN``, ``infinite`` or ``label``, most severe first.
        row: The first such row, from 0.
        count: Number of such values.
        value: The first such value.
        known: The valid labels.
    """

    kind: str
    row: int
    count: int
    value: str
    known: tuple[str, ...] = ()

    def error(self, column: str, file: TableFile) -> ConfigurationError:
        """The error to raise for this fault."""
        where = file.place(self.row)
        if self.kind == "text":
            text = self.value.strip()
            cures = [cure for pattern, cure in _CURES.items() if re.fullmatch(pattern, text)]
            cure = cures[0] if cures else "write numbers or remove the column from the settings"
            return ConfigurationError(
                f"column {column!r} of {file.path} is not a number: {self.value!r} in {where}; "
                f"{cure}"
            )
        if self.kind == "label":
            return ConfigurationError(
                f"column {column!r} of {file.path} has {self.value!r} in {where}, which is not a "
                f"part of the data: write one of {', '.join(self.known)}"
            )
        return ConfigurationError(
            f"column {column!r} of {file.path} has {self.count} {self.kind} values, the first in "
            f"{where}: replace them or remove these rows"
        )


_SEVERITY = ("text", "missing or NaN", "infinite", "label")


def numbers_of(
    values: pd.Series, column: str, start: int, faults: dict[str, Fault], gaps: bool = False
) -> Tensor:
    """Converts a column of a block of rows to float64 ``(rows,)``.

    Args:
        values: The column.
        column: Its name.
        start: Index of the block's first row in the file, from 0.
        faults: Faults found so far, by column; extended in place.
        gaps: Whether values may be missing; they become NaN.
    """
    numbers, text = _to_numbers(values)
    for kind, wrong in (
        ("text", text),
        ("missing or NaN", np.isnan(numbers) & ~text & (not gaps)),
        ("infinite", np.isinf(numbers)),
    ):
        _note(faults, column, kind, wrong, values, start)
    return torch.from_numpy(numbers)


def labels_of(
    values: pd.Series, column: str, start: int, known: Mapping[str, int], faults: dict[str, Fault]
) -> Tensor:
    """Converts a column of a block of rows to the numbers of its labels, int8 ``(rows,)``.

    Args:
        values: The column; case and surrounding spaces are ignored.
        column: Its name.
        start: Index of the block's first row in the file, from 0.
        known: Labels in lower case, each with its number.
        faults: Faults found so far, by column; extended in place.
    """
    # Only the distinct values are looked up, not every row.
    places, distinct = pd.factorize(values)
    codes = [known.get(_text(value).strip().lower(), _UNKNOWN) for value in distinct]
    table = np.array([*codes, _UNKNOWN], dtype=np.int8)  # the last entry is for missing values
    found = table[places]
    _note(faults, column, "missing or NaN", places == -1, values, start)
    wrong = (found == _UNKNOWN) & (places != -1)
    _note(faults, column, "label", wrong, values, start, tuple(known))
    return torch.from_numpy(found)


def _to_numbers(values: pd.Series) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A float64 copy ``(rows,)``, and a mask of the values that are not numbers."""
    types = pd.api.types
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    is_number = types.is_numeric_dtype(values) and not types.is_complex_dtype(values)
    if is_number and not types.is_bool_dtype(values):
        return values.to_numpy(dtype="float64", na_value=np.nan, copy=True), np.zeros(
            len(values), dtype=bool
        )
    given = values.notna().to_numpy()
    if types.is_object_dtype(values) or types.is_string_dtype(values):
        # A bool among objects would pass as 0 or 1.
        plain = values.where(values.map(lambda value: not isinstance(value, bool | np.bool_)))
        numbers = pd.to_numeric(plain, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
        return np.array(numbers), np.isnan(numbers) & given
    return np.full(len(values), np.nan), given  # bools, dates, complex numbers


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _note(
    faults: dict[str, Fault],
    column: str,
    kind: str,
    wrong: np.ndarray[Any, Any],
    values: pd.Series,
    start: int,
    known: tuple[str, ...] = (),
) -> None:
    """Adds a fault to those found before; a more severe kind replaces another."""
    count = int(wrong.sum())
    if not count:
        return
    before = faults.get(column)
    if before is None or _SEVERITY.index(kind) < _SEVERITY.index(before.kind):
        row = int(wrong.argmax())
        faults[column] = Fault(kind, start + row, count, _text(values.iloc[row]), known)
    elif before.kind == kind:
        before.count += count
