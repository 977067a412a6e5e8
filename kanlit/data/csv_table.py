"""Columns of numbers out of a CSV file, or an error that says where the file is wrong."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kanlit.errors import ConfigurationError

__all__ = ["read_columns", "read_texts"]

_ENCODING = "utf-8-sig"


def read_columns(path: str, columns: Sequence[str]) -> Tensor:
    """The named columns of a CSV file with a header, ``(rows, columns)``, float64.

    Args:
        path: The file: UTF-8, commas between the fields, names in the first line.
        columns: Names of the wanted columns, in the wanted order.

    Raises:
        ConfigurationError: The file is missing, unreadable or empty, has no header or a row
            longer than it; a column is not there, there twice, not a number, or has NaN or
            infinite values. Line numbers in messages are those of the file, from 1.
    """
    with _explained(path):
        file = Path(path).expanduser()
        frame = _read(file, columns)
        return torch.stack([_numbers(file, column, frame[column]) for column in columns], 1)


def read_texts(path: str, column: str) -> list[str]:
    """A column of a CSV file with a header as texts, those of its numbers as they stand there.

    Args:
        path: The file: UTF-8, commas between the fields, names in the first line.
        column: Name of the column.

    Raises:
        ConfigurationError: As :func:`read_columns`; a field that is empty.
    """
    with _explained(path):
        file = Path(path).expanduser()
        # Texts such as None and NA are labels like any other.
        texts = _read(file, [column], dtype=str, keep_default_na=False)[column].fillna("")
        empty = texts.str.strip() == ""
        if empty.any():
            raise ConfigurationError(
                f"column {column!r} of {path} has {int(empty.sum())} empty fields, the first in "
                f"line {_line_of(file, empty)}: fill them in or remove these rows"
            )
        return [str(text) for text in texts]


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Says of a file that cannot be read why, and what to do."""
    try:
        yield
    except FileNotFoundError:
        raise ConfigurationError(f"there is no file {path}: check data.path") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{path} is a folder: name the CSV file in it") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text: save it as a UTF-8 CSV") from None
    except csv.Error as error:
        raise ConfigurationError(f"{path} is not a CSV ({error}): save it as one") from None
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path} ({error.strerror}): check the file and its permissions"
        ) from None


def _read(path: Path, columns: Sequence[str], **options: Any) -> pd.DataFrame:
    """The named columns; ``options`` are those of ``pandas.read_csv``."""
    rows = _rows(path)
    _, first = next(rows, (0, []))
    header = [name.strip() for name in first]
    if not header:
        raise ConfigurationError(f"{path} is empty: it needs a header line and rows of numbers")
    for column in columns:
        _check_column(path, header, column)
    line, row = next(rows, (0, []))
    if not row:
        raise ConfigurationError(f"{path} has a header but no rows: add rows of numbers")
    if len(row) != len(header):
        raise _wrong_length(path, line, row, header)

    with path.open(newline="", encoding=_ENCODING) as file:
        next(fields for fields in csv.reader(file) if not _is_blank(fields))
        try:
            frame = pd.read_csv(
                file, header=None, low_memory=False, skipinitialspace=True, **options
            )
        except pd.errors.ParserError as error:
            for line, row in _rows(path):
                if len(row) > len(header):
                    raise _wrong_length(path, line, row, header) from None
            raise ConfigurationError(f"{path} is not a CSV ({error}): save it as one") from None
    return pd.DataFrame({column: frame[header.index(column)] for column in columns})


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the number of its last line in the file, from 1."""
    with path.open(newline="", encoding=_ENCODING) as file:
        reader = csv.reader(file)
        for fields in reader:
            if not _is_blank(fields):
                yield reader.line_num, fields


def _is_blank(fields: list[str]) -> bool:
    return len(fields) == 0 or (len(fields) == 1 and not fields[0].strip())


def _wrong_length(path: Path, line: int, row: list[str], header: list[str]) -> ConfigurationError:
    return ConfigurationError(
        f"line {line} of {path} has {len(row)} fields but the header has {len(header)}: "
        "give each row one number per column, with a point for the decimals"
    )


def _check_column(path: Path, header: list[str], column: str) -> None:
    count = header.count(column)
    if count > 1:
        raise ConfigurationError(
            f"column {column!r} is there {count} times in {path}: rename all but one"
        )
    if count == 1:
        return
    if all(_is_number(name) for name in header):
        raise ConfigurationError(
            f"{path} has no header (its first line is {','.join(header)}): add a line with the "
            "columns' names on top"
        )
    if len(header) == 1 and (separator := next((s for s in ";\t|" if s in header[0]), None)):
        raise ConfigurationError(
            f"the fields of {path} are separated by {separator!r}: save it with commas"
        )
    near = get_close_matches(column, header, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigurationError(
        f"column {column!r} is not in {path}: {hint}its columns are {', '.join(header)}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _line_of(path: Path, wrong: pd.Series) -> int:
    """Line in the file of the first row that is wrong."""
    return next(islice(_rows(path), int(wrong.to_numpy().argmax()) + 1, None))[0]


def _numbers(path: Path, column: str, values: pd.Series) -> Tensor:
    """One column as float64 ``(rows,)``, every value finite."""
    numbers = _to_numbers(path, column, values)
    for what, wrong in (
        ("missing or NaN", numbers.isna()),
        ("infinite", numbers.abs() == torch.inf),
    ):
        if wrong.any():
            raise ConfigurationError(
                f"column {column!r} of {path} has {int(wrong.sum())} {what} values, the first in "
                f"line {_line_of(path, wrong)}: fill them in or remove these rows"
            )
    return torch.tensor(numbers.to_numpy(dtype="float64"))


def _to_numbers(path: Path, column: str, values: pd.Series) -> pd.Series:
    is_bool = pd.api.types.is_bool_dtype(values)
    if pd.api.types.is_numeric_dtype(values) and not is_bool:
        return values
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = values.notna() if is_bool else numbers.isna() & values.notna()
    if wrong.any():
        first = str(values[wrong].iloc[0])
        raise ConfigurationError(
            f"column {column!r} of {path} is not a number: {first!r} in line "
            f"{_line_of(path, wrong)}; write numbers there or leave the column out"
        )
    return numbers
