"""NPZ: an archive of named NumPy arrays."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from kanlit.errors import ConfigurationError
from kanlit.tables.base import BLOCK, tidy_name

__all__ = ["NpzFile"]

_MOST_UNPACKED, _MOST_RATIO, _MOST_COLUMNS = 2**28, 100, 100_000


@dataclass(frozen=True)
class _Array:
    """Header of an array in the archive."""

    shape: tuple[int, ...]
    by_columns: bool  # Fortran order
    dtype: np.dtype[Any]


class NpzFile:
    """Arrays side by side: a 1-D array is a column, a 2-D array ``a`` has the columns a1, a2, ….

    Headers are read first, arrays in blocks of rows; nothing is unpickled. Arrays of other
    dimensions are ignored.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._arrays: dict[str, _Array] = {}

    def names(self) -> list[str]:
        with _broken_as_error(self.path), ZipFile(self.path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
            for member in members:
                with archive.open(member) as file:
                    array = _head(file)
                    rest = archive.getinfo(member).file_size - file.tell()
                if not array.dtype.hasobject and prod(array.shape) * array.dtype.itemsize > rest:
                    raise EOFError(f"{member} is shorter than its shape {array.shape}")
                self._arrays[member.removesuffix(".npy")] = array
            self._check_sizes(sum(entry.file_size for entry in archive.infolist()))
        if not self._arrays:
            raise ConfigurationError(f"{self.path} is empty: save named arrays with numpy.savez")
        return [column for column, _, _ in self._columns()]

    def _check_sizes(self, unpacked: int) -> None:
        """Raises if a small file unpacks to a large one, or if there are too many columns."""
        packed = self.path.stat().st_size
        if unpacked > max(_MOST_UNPACKED, _MOST_RATIO * packed):
            raise ConfigurationError(
                f"{self.path} has {packed} bytes, which unpack to {unpacked} bytes: save it with "
                f"numpy.savez"
            )
        for name, array in self._arrays.items():
            if len(array.shape) == 2 and array.shape[1] > _MOST_COLUMNS:
                raise ConfigurationError(
                    f"array {name!r} of {self.path} has {array.shape[1]} columns, more than "
                    f"{_MOST_COLUMNS}: save fewer"
                )
            if array.dtype.itemsize == 0:
                raise ConfigurationError(
                    f"array {name!r} of {self.path} has an empty dtype: save it as numbers"
                )

    def row_labels(self) -> Collection[str]:
        return []

    def missing(self, column: str) -> str | None:
        for name, each in self._arrays.items():
            if column in (each.dtype.names or ()):
                return (
                    f"{column!r} is a field of the array {name!r} of {self.path}: save each field "
                    "as a separate array"
                )
        array = self._arrays.get(column)
        if array is None:
            return None
        if len(array.shape) == 2:
            return (
                f"array {column!r} of {self.path} has {array.shape[1]} columns: name them "
                f"{column}1, {column}2, …"
            )
        return (
            f"array {column!r} of {self.path} has the shape {array.shape}, which is not a column: "
            "save it with one dimension"
        )

    def rows_at_most(self) -> int:
        return max(array.shape[0] for array in self._arrays.values() if array.shape)

    def blocks(self, columns: Sequence[str], texts: bool = False) -> Iterator[pd.DataFrame]:
        place = {column: (name, index) for column, name, index in self._columns()}
        first = place[columns[0]][0]
        rows = self._arrays[first].shape[0]
        for column in columns:
            name, _ = place[column]
            array = self._arrays[name]
            if array.shape[0] != rows:
                raise ConfigurationError(
                    f"array {name!r} of {self.path} has {array.shape[0]} rows but {first!r} has "
                    f"{rows}: save arrays of equal length"
                )
            if array.dtype.hasobject:
                raise ConfigurationError(
                    f"array {name!r} of {self.path} has Python objects, which kanlit does not "
                    "unpickle: convert it with astype(float) before saving"
                )
        if rows == 0:
            raise ConfigurationError(
                f"array {first!r} of {self.path} has no rows: save arrays of numbers"
            )
        used = dict.fromkeys(place[column][0] for column in columns)
        with _broken_as_error(self.path), ZipFile(self.path) as archive, ExitStack() as stack:
            parts = {
                name: _blocks(stack.enter_context(archive.open(f"{name}.npy"))) for name in used
            }
            for _ in range(0, rows, BLOCK):
                read = {name: next(part) for name, part in parts.items()}
                yield pd.DataFrame(
                    {column: read[place[column][0]][:, place[column][1]] for column in columns}
                )

    def place(self, row: int) -> str:
        return f"row {row + 1}"

    def _columns(self) -> Iterator[tuple[str, str, int]]:
        """Each column's name, the name of its array, and its index in the array."""
        for name, array in self._arrays.items():
            if len(array.shape) == 1:
                yield tidy_name(name), name, 0
            elif len(array.shape) == 2:
                yield from ((f"{tidy_name(name)}{j + 1}", name, j) for j in range(array.shape[1]))


@contextmanager
def _broken_as_error(path: Path) -> Iterator[None]:
    """Turns errors of zipfile and NumPy for a broken archive into ``ConfigurationError``."""
    try:
        yield
    except ConfigurationError:
        raise
    except (BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(
            f"{path} is not an NPZ file ({reason}): save it with numpy.savez"
        ) from None


def _head(file: IO[bytes]) -> _Array:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    return _Array(*read(file))


def _blocks(file: IO[bytes]) -> Iterator[np.ndarray[Any, Any]]:
    """Rows of an array ``(rows, columns)``, in blocks."""
    array = _head(file)
    columns, size = prod(array.shape[1:]), array.dtype.itemsize
    native = array.dtype.newbyteorder("=")  # pandas supports only native byte order
    for start in range(0, array.shape[0], BLOCK):
        count = min(BLOCK, array.shape[0] - start)
        if array.by_columns and columns > 1:
            whole = np.frombuffer(file.read(), array.dtype).astype(native, copy=False)
            whole = whole.reshape(columns, -1).T
            yield from (whole[at : at + BLOCK] for at in range(0, len(whole), BLOCK))
            return
        data = file.read(count * columns * size)
        yield np.frombuffer(data, array.dtype).astype(native, copy=False).reshape(count, columns)
