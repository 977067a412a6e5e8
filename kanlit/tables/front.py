"""Reads and checks columns of a table file in any format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.files import check_regular, check_room
from kanlit.hints import near
from kanlit.tables.base import TableFile, tidy_name
from kanlit.tables.delimited import DelimitedFile
from kanlit.tables.mat import MatFile
from kanlit.tables.npz import NpzFile
from kanlit.tables.numbers import Fault, labels_of, numbers_of
from kanlit.tables.parquet import ParquetFile

__all__ = [
    "Table",
    "data_columns",
    "not_there",
    "read_as_it_stands",
    "read_columns",
    "read_table",
    "read_texts",
]

_LISTED = 10  # largest number of column names in a message
_COMPARED = 2000  # largest number of names searched for a similar one

_FORMATS: Mapping[str, Callable[[Path], TableFile]] = {
    ".tsv": lambda path: DelimitedFile(path, "\t"),
    ".tab": lambda path: DelimitedFile(path, "\t"),
    ".npz": NpzFile,
    ".mat": MatFile,
    ".parquet": ParquetFile,
    ".pq": ParquetFile,
}


@dataclass(frozen=True)
class Table:
    """Columns of a file.

    Attributes:
        groups: A tensor ``(rows, columns)`` for each requested group of columns.
        place: Position of a row (an index from 0) in the file, for messages.
        labels: The number of each row's label ``(rows,)``, int8; None if not requested.
    """

    groups: tuple[Tensor, ...]
    place: Callable[[int], str]
    labels: Tensor | None = None


def read_columns(path: str, columns: Sequence[str], dtype: torch.dtype = torch.float64) -> Tensor:
    """The named columns of a table, ``(rows, columns)``; see :func:`read_table`."""
    return read_table(path, [columns], dtype).groups[0]


def read_table(
    path: str,
    groups: Sequence[Sequence[str]],
    dtype: torch.dtype = torch.float64,
    label_column: str | None = None,
    labels: Mapping[str, int] | None = None,
    watch: Callable[[Tensor], None] | None = None,
    setting: str = "data.path",
    gaps: Collection[str] = (),
) -> Table:
    """Reads groups of named columns of a table.

    The suffix sets the format: ``.tsv`` and ``.tab`` are text separated by tabs, ``.npz`` is a
    NumPy archive, ``.mat`` is MATLAB's, ``.parquet`` and ``.pq`` are Parquet, and all others are
    CSV. The file is read in blocks of rows into tensors of ``dtype``, so that memory holds only
    these and one block; a ``.mat`` file is read whole.

    Args:
        path: The file.
        groups: Groups of column names; each group becomes one tensor, in the given order.
        dtype: The dtype of the tensors. Values beyond its range become infinite.
        label_column: A text column, such as the part of the data that a row belongs to.
        labels: Its values in lower case, each with a number from 0 to 127.
        watch: Called with each block of rows in float64, all groups side by side.
        setting: The setting that has the path, for messages.
        gaps: Columns in which values may be missing; they become NaN.

    Raises:
        ConfigurationError: The file is missing, unreadable, empty or malformed; a column is
            missing, repeated, not numeric, or has NaN or infinite values; a label is unknown. Text
            files are reported by line, other files by row, both counted from 1.
    """
    with _opened(path, setting) as file:
        return _read(file, groups, dtype, label_column, labels or {}, watch, gaps)


def read_texts(path: str, column: str, gaps: bool = False) -> list[str]:
    """Reads a column of a table as text; the fields of a text file are not parsed.

    In binary formats, whole numbers are written without a decimal point.

    Args:
        path: The file.
        column: Name of the column.
        gaps: Whether fields may be empty.

    Raises:
        ConfigurationError: The same as :func:`read_table`; a field is empty.
    """
    column = tidy_name(column)
    with _opened(path) as file:
        _check_columns(file, [column])
        frames = [_whole(frame[column]) for frame in file.blocks([column], texts=True)]
        texts = pd.concat(frames, ignore_index=True).fillna("").astype(str)
        empty = texts.str.strip() == ""
        if empty.any() and not gaps:
            raise ConfigurationError(
                f"column {column!r} of {path} has {int(empty.sum())} empty fields, the first in "
                f"{file.place(int(empty.to_numpy().argmax()))}: fill them in or remove these rows"
            )
        return texts.tolist()


def read_as_it_stands(path: str, columns: Sequence[str]) -> pd.DataFrame:
    """The named columns of a table, unchanged: the fields of a text file as text.

    Raises:
        ConfigurationError: The same as :func:`read_table`, whatever the fields contain.
    """
    with _opened(path) as file:
        _check_columns(file, columns)
        return pd.concat(list(file.blocks(columns, texts=True)), ignore_index=True)


def _whole(values: pd.Series) -> pd.Series:
    """Converts floats that are all whole numbers to integers, so that 1.0 becomes the text 1."""
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        return values.astype("Int64")
    return values


@contextmanager
def _opened(path: str, setting: str = "data.path") -> Iterator[TableFile]:
    """Opens a table file; turns errors of the system into ``ConfigurationError``."""
    place = Path(path).expanduser()
    if not place.is_dir():
        check_regular(place, "table")
    try:
        yield _FORMATS.get(place.suffix.lower(), DelimitedFile)(place)
    except FileNotFoundError:
        raise ConfigurationError(f"file {path} does not exist: check {setting}") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{path} is a folder: name the file in it") from None
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{path} is not UTF-8 text: save it as a UTF-8 CSV, or use the suffix .npz or .parquet "
            "if it has that format"
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
    gaps: Collection[str],
) -> Table:
    columns = [tidy_name(column) for group in groups for column in group]
    label_column = None if label_column is None else tidy_name(label_column)
    wanted = columns if label_column is None else [*columns, label_column]
    _check_columns(file, wanted)
    # Memory that is never written costs nothing, so a bound on the number of rows is enough.
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
            block[number] = numbers_of(frame[column], column, rows, faults, column in gaps)
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
    kept = tuple(tensor[:rows] for tensor in values)
    return Table(kept, file.place, None if codes is None else codes[:rows])


def data_columns(path: str, setting: str = "data.path") -> list[str]:
    """Names of a table's columns, without those that only identify the rows."""
    with _opened(path, setting) as file:
        names = file.names()
        labels = set(file.row_labels())
        return [name for name in names if name not in labels]


def not_there(path: str, column: str, names: Sequence[str]) -> ConfigurationError:
    """The error for a column that is missing in a file.

    Args:
        path: The file.
        column: Name of the missing column.
        names: Names of the file's columns.
    """
    compared = names[:_COMPARED]
    same = [name for name in compared if _bare(name) == _bare(column)]
    meant = f"did you mean {same[0]!r}? " if same else near(column, compared, repr)
    listed = ", ".join(names[:_LISTED])
    more = f", … ({len(names)} in all)" if len(names) > _LISTED else ""
    return ConfigurationError(
        f"column {column!r} is not in {path}: {meant}its columns are {listed}{more}"
    )


def _bare(name: str) -> str:
    return name.strip("'\" ").casefold()


def _check_columns(file: TableFile, wanted: Sequence[str]) -> None:
    names = file.names()
    counts = Counter(names)
    for column in wanted:
        if counts[column] > 1:
            raise ConfigurationError(
                f"column {column!r} occurs {counts[column]} times in {file.path}: rename all but "
                "one"
            )
        if counts[column] == 0:
            reason = file.missing(column)
            raise ConfigurationError(reason) if reason else not_there(str(file.path), column, names)
