"""Checked numbers out of a table in any format, in the precision that they are wanted in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from kanlit.data.tables.base import TableFile, tidy_name
from kanlit.data.tables.delimited import DelimitedFile
from kanlit.data.tables.npz import NpzFile
from kanlit.data.tables.numbers import Fault, labels_of, numbers_of
from kanlit.data.tables.parquet import ParquetFile
from kanlit.errors import ConfigurationError
from kanlit.files import check_regular, check_room

__all__ = ["Table", "data_columns", "not_there", "read_columns", "read_table", "read_texts"]

_LISTED = 10  # names of columns in a message
_COMPARED = 2000  # names among which one that is like a given one is looked for

_FORMATS: Mapping[str, Callable[[Path], TableFile]] = {
    ".tsv": lambda path: DelimitedFile(path, "\t"),
    ".tab": lambda path: DelimitedFile(path, "\t"),
    ".npz": NpzFile,
    ".parquet": ParquetFile,
    ".pq": ParquetFile,
}


@dataclass(frozen=True)
class Table:
    """Columns of a file.

    Attributes:
        groups: A tensor ``(rows, columns)`` for each group of columns that was asked for.
        labels: ``(rows,)``, int8, the number of each row's label; None where none was asked for.
    """

    groups: tuple[Tensor, ...]
    labels: Tensor | None = None


def read_columns(
    path: str, columns: Sequence[str], dtype: torch.dtype = torch.float64, setting: str = "path"
) -> Tensor:
    """The named columns of a table, ``(rows, columns)``; :func:`read_table` says more."""
    return read_table(path, [columns], dtype, setting=setting).groups[0]


def read_table(
    path: str,
    groups: Sequence[Sequence[str]],
    dtype: torch.dtype = torch.float64,
    label_column: str | None = None,
    labels: Mapping[str, int] | None = None,
    watch: Callable[[Tensor], None] | None = None,
    setting: str = "path",
) -> Table:
    """Named columns of a table, group by group.

    The suffix says the format: ``.tsv`` and ``.tab`` are text with tabs, ``.npz`` an archive of
    NumPy's, ``.parquet`` and ``.pq`` Parquet, all others CSV. The file is read a block of rows at
    a time into tensors of ``dtype``, so that no more than these and a block are held.

    Args:
        path: The file.
        groups: Names of columns; each group becomes one tensor, in the wanted order.
        dtype: Its type. Values beyond its range become infinite.
        label_column: A column of text, such as the share of the data that a row belongs to.
        labels: Its values in lower case, and a number from 0 to 127 for each.
        watch: Is given each block of rows in float64, all groups side by side.
        setting: Where the path was set, under ``data``, for messages.

    Raises:
        ConfigurationError: The file is missing, unreadable, empty or malformed; a column is not
            there, there twice, not a number, or has NaN or infinite values; an unknown label. Rows
            are named as the user finds them: lines of a text file from 1, other rows from 1.
    """
    with _opened(path, setting) as file:
        return _read(file, groups, dtype, label_column, labels or {}, watch)


def read_texts(path: str, column: str, setting: str = "path") -> list[str]:
    """A column of a table as texts; in a text file numbers are as they stand there.

    Of a format with types a whole number is written without a point.

    Raises:
        ConfigurationError: As :func:`read_table`; a field that is empty.
    """
    column = tidy_name(column)
    with _opened(path, setting) as file:
        _check_columns(file, [column])
        frames = [_whole(frame[column]) for frame in file.blocks([column], texts=True)]
        texts = pd.concat(frames, ignore_index=True).fillna("").astype(str)
        empty = texts.str.strip() == ""
        if empty.any():
            raise ConfigurationError(
                f"column {column!r} of {path} has {int(empty.sum())} empty fields, the first in "
                f"{file.place(int(empty.to_numpy().argmax()))}: fill them in or remove these rows"
            )
        return texts.tolist()


def _whole(values: pd.Series) -> pd.Series:
    """Floats that are all whole numbers as integers: 1.0 is no text that anyone has written."""
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        return values.astype("Int64")
    return values


@contextmanager
def _opened(path: str, setting: str) -> Iterator[TableFile]:
    """The file; what cannot be read of it is a line that says why."""
    place = Path(path).expanduser()
    if not place.is_dir():
        check_regular(place, "table")
    try:
        yield _FORMATS.get(place.suffix.lower(), DelimitedFile)(place)
    except FileNotFoundError:
        raise ConfigurationError(f"there is no file {path}: check data.{setting}") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{path} is a folder: name the file in it") from None
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{path} is not UTF-8 text: save it as a UTF-8 CSV, or name it .npz or .parquet if it "
            "is one"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path} ({error.strerror}): check the file and its permissions"
        ) from None


def _read(
    file: TableFile,
    groups: Sequence[Sequence[str]],
    dtype: torch.dtype,
    label_column: str | None,
    labels: Mapping[str, int],
    watch: Callable[[Tensor], None] | None,
) -> Table:
    columns = [tidy_name(column) for group in groups for column in group]
    label_column = None if label_column is None else tidy_name(label_column)
    wanted = columns if label_column is None else [*columns, label_column]
    _check_columns(file, wanted)
    # Memory that is not written to costs nothing: a bound on the rows does for a text file.
    most = file.rows_at_most()
    check_room(most * len(columns) * dtype.itemsize, f"{most} rows of {file.path}")
    values = [torch.empty(most, len(group), dtype=dtype) for group in groups]
    codes = None if label_column is None else torch.empty(most, dtype=torch.int8)
    sizes = [len(group) for group in groups]
    rows = 0
    faults: dict[str, Fault] = {}
    for frame in file.blocks(wanted):
        block = torch.empty(len(columns), len(frame), dtype=torch.float64)
        for number, column in enumerate(columns):
            block[number] = numbers_of(frame[column], column, rows, faults)
        stop = rows + len(frame)
        for tensor, part in zip(values, block.T.split(sizes, 1), strict=True):
            tensor[rows:stop] = part
        if codes is not None and label_column is not None:
            codes[rows:stop] = labels_of(frame[label_column], label_column, rows, labels, faults)
        if watch is not None and not faults:
            watch(block.T)
        rows = stop
    for column in wanted:
        if column in faults:
            raise faults[column].error(column, file)
    return Table(tuple(tensor[:rows] for tensor in values), None if codes is None else codes[:rows])


def data_columns(path: str, setting: str = "path") -> list[str]:
    """Names of a table's columns without those that only number or name the rows."""
    with _opened(path, setting) as file:
        names = file.names()
        labels = set(file.row_labels())
        return [name for name in names if name not in labels]


def not_there(path: str, column: str, names: Sequence[str]) -> ConfigurationError:
    """What is said of a column that a file has not got.

    Args:
        path: The file.
        column: The column's name.
        names: The names of those that are there.
    """
    compared = names[:_COMPARED]
    same = [name for name in compared if _bare(name) == _bare(column)]
    near = same or get_close_matches(column, compared, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(names[:_LISTED])
    more = f", … ({len(names)} in all)" if len(names) > _LISTED else ""
    return ConfigurationError(
        f"column {column!r} is not in {path}: {hint}its columns are {listed}{more}"
    )


def _bare(name: str) -> str:
    return name.strip("'\" ").casefold()


def _check_columns(file: TableFile, wanted: Sequence[str]) -> None:
    names = file.names()
    counts = Counter(names)
    for column in wanted:
        if counts[column] > 1:
            raise ConfigurationError(
                f"column {column!r} is there {counts[column]} times in {file.path}: rename all "
                "but one"
            )
        if counts[column] == 0:
            reason = file.missing(column)
            raise ConfigurationError(reason) if reason else not_there(str(file.path), column, names)
