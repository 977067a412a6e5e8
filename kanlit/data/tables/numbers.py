"""A column's values as numbers or as labels, and what is wrong with those that are neither."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kanlit.data.tables.base import TableFile
from kanlit.errors import ConfigurationError

__all__ = ["Fault", "labels_of", "numbers_of"]

_UNKNOWN = -1


# What a text that is no number may be, and what to do about it.
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
    """What is wrong with a column: the gravest kind found in it, how often, and where first.

    Attributes:
        kind: ``text``, ``missing or NaN``, ``infinite`` or ``label``, gravest first.
        row: The first such row, from 0.
        count: How many there are.
        value: The first such value.
        known: Labels that would do.
    """

    kind: str
    row: int
    count: int
    value: str
    known: tuple[str, ...] = ()

    def error(self, column: str, file: TableFile) -> ConfigurationError:
        """The same for the user."""
        where = file.place(self.row)
        if self.kind == "text":
            text = self.value.strip()
            cures = [cure for pattern, cure in _CURES.items() if re.fullmatch(pattern, text)]
            cure = cures[0] if cures else "write numbers there or leave the column out"
            return ConfigurationError(
                f"column {column!r} of {file.path} is not a number: {self.value!r} in {where}; "
                f"{cure}"
            )
        if self.kind == "label":
            return ConfigurationError(
                f"column {column!r} of {file.path} has {self.value!r} in {where}, which names no "
                f"part of the data: write {', '.join(self.known)}"
            )
        return ConfigurationError(
            f"column {column!r} of {file.path} has {self.count} {self.kind} values, the first in "
            f"{where}: fill them in or remove these rows"
        )


_GRAVITY = ("text", "missing or NaN", "infinite", "label")


def numbers_of(values: pd.Series, column: str, start: int, faults: dict[str, Fault]) -> Tensor:
    """One column of a block of rows as float64 ``(rows,)``.

    Args:
        values: The column.
        column: Its name.
        start: The number of its first row in the file, from 0.
        faults: What is wrong with columns so far, by name; added to.
    """
    numbers, text = _to_numbers(values)
    for kind, wrong in (
        ("text", text),
        ("missing or NaN", np.isnan(numbers) & ~text),
        ("infinite", np.isinf(numbers)),
    ):
        _note(faults, column, kind, wrong, values, start)
    return torch.from_numpy(numbers)


def labels_of(
    values: pd.Series, column: str, start: int, known: Mapping[str, int], faults: dict[str, Fault]
) -> Tensor:
    """One column of a block of rows as the numbers of its labels, int8 ``(rows,)``.

    Args:
        values: The column; case and spaces around a label do not matter.
        column: Its name.
        start: The number of its first row in the file, from 0.
        known: Labels in lower case, and the number of each.
        faults: What is wrong with columns so far, by name; added to.
    """
    # The few distinct values are looked up, not the many rows.
    places, distinct = pd.factorize(values)
    codes = [known.get(_text(value).strip().lower(), _UNKNOWN) for value in distinct]
    table = np.array([*codes, _UNKNOWN], dtype=np.int8)  # place -1, a missing value, is the last
    found = table[places]
    _note(faults, column, "missing or NaN", places == -1, values, start)
    wrong = (found == _UNKNOWN) & (places != -1)
    _note(faults, column, "label", wrong, values, start, tuple(known))
    return torch.from_numpy(found)


def _to_numbers(values: pd.Series) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Float64 ``(rows,)``, a copy, and where there is something that is no number."""
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
    """Adds what is wrong here to what was found before; a graver kind takes its place."""
    count = int(wrong.sum())
    if not count:
        return
    before = faults.get(column)
    if before is None or _GRAVITY.index(kind) < _GRAVITY.index(before.kind):
        row = int(wrong.argmax())
        faults[column] = Fault(kind, start + row, count, _text(values.iloc[row]), known)
    elif before.kind == kind:
        before.count += count
