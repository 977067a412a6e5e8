"""The table ``results.csv``: one row per run, no partial rows, no repeated keys."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from kanlit.errors import ConfigurationError
from kanlit.files import acquired, write_text, writing_problem

__all__ = ["Key", "Results", "Row", "curve_path", "locked", "rows_of"]


class Key(NamedTuple):
    """Identifies a run within a matrix."""

    benchmark: str
    task: str
    density: str
    recipe: str
    seed: int

    @property
    def slug(self) -> str:
        """The key as a file name, such as ``helmholtz-1_2-InputDensity-sound-3``."""
        return "-".join(re.sub(r"[^\w.+-]+", "_", str(part)).strip("_") for part in self)


@dataclass(frozen=True)
class Row:
    """Result of a run; the numbers are ``None`` if it failed.

    Attributes:
        benchmark: Name of the suite.
        task: Name of the task as published.
        density: Class name of the density, or name of the variant.
        recipe: Name of the recipe.
        seed: Seed of the run.
        rel_l2: Relative L2 error of the final weights on the test grid.
        wall_s: Training time in seconds.
        adapt_s: Seconds of it spent on grid adaptations, including the drawing of samples.
        epochs: Number of epochs trained.
        params: Final number of parameters.
        grid_size: Final G.
        version: Version of kanlit.
        error: Error message on one line; empty if the run succeeded.
        cross_entropy: Mean cross-entropy on the test rows, of classes, which have no ``rel_l2``.
        accuracy: Fraction of the test rows whose class is predicted, of classes.
        calibration_error: Expected calibration error on the test rows, of classes.
    """

    benchmark: str
    task: str
    density: str
    recipe: str
    seed: int
    rel_l2: float | None = None
    wall_s: float | None = None
    adapt_s: float | None = None
    epochs: int | None = None
    params: int | None = None
    grid_size: int | None = None
    version: str = ""
    error: str = ""
    cross_entropy: float | None = None
    accuracy: float | None = None
    calibration_error: float | None = None

    @property
    def key(self) -> Key:
        return Key(self.benchmark, self.task, self.density, self.recipe, self.seed)


_HEADER = [field.name for field in fields(Row)]
_NUMBERS: dict[str, type] = {
    "seed": int,
    "rel_l2": float,
    "wall_s": float,
    "adapt_s": float,
    "epochs": int,
    "params": int,
    "grid_size": int,
    "cross_entropy": float,
    "accuracy": float,
    "calibration_error": float,
}


class Results:
    """Reads ``folder/results.csv`` and adds rows to it.

    A row is appended in a single write and flushed to disk. If the process is killed while
    writing, the incomplete last line is dropped on the next start. A row with an error is replaced
    when its run is repeated; the file is then rewritten as a whole and renamed.

    Args:
        folder: Folder of the table, which need not exist yet.

    Raises:
        ConfigurationError: If the file is not a table of runs or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "results.csv"
        try:
            text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            whole = _without_partial_line(text)
            self.rows = {row.key: row for row in rows_of(text, self.path)}
            if not whole:
                write_text(self.path, _line(_HEADER))
            elif whole != text:
                write_text(self.path, whole)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write {self.path} ({error.strerror}): choose another folder"
            ) from None
        except UnicodeDecodeError:
            raise ConfigurationError(
                f"{self.path} is not a text file: move it or choose another folder"
            ) from None

    def done(self, key: Key) -> bool:
        """Whether the table has the run, without an error."""
        return key in self.rows and not self.rows[key].error

    def add(self, row: Row) -> None:
        """Writes a row; replaces an existing row with the same key."""
        known = row.key in self.rows
        self.rows[row.key] = row
        if known:
            lines = [_HEADER, *(_cells(each) for each in self.rows.values())]
            write_text(self.path, "".join(map(_line, lines)))
            return
        with self.path.open("ab", buffering=0) as file:
            file.write(_line(_cells(row)).encode())
            os.fsync(file.fileno())


def curve_path(folder: Path, key: Key) -> Path:
    """Path of the curve of a run: ``epoch, train_loss, grid_size, adapted``, about 100 rows."""
    return folder / "curves" / f"{key.slug}.csv"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks a folder against a second command; the lock is released when the process ends.

    Raises:
        ConfigurationError: If the folder is locked or cannot be created.
    """
    if problem := writing_problem(folder):
        raise ConfigurationError(f"cannot write to {folder} ({problem}): choose another folder")
    busy = f"another kanlit benchmark is writing to {folder}: wait for it or choose another folder"
    lock = acquired(folder / ".lock", busy)
    try:
        yield
    finally:
        lock.release()


def _without_partial_line(text: str) -> str:
    """A table without the incomplete last line of a killed process."""
    return text[: text.rfind("\n") + 1]


def rows_of(text: str, path: Path) -> Iterator[Row]:
    """The rows of a table, without an incomplete last line.

    Args:
        text: The table.
        path: Its file, for messages.

    Raises:
        ConfigurationError: It is not a table of runs, or has a run twice.
    """
    lines = csv.reader(io.StringIO(_without_partial_line(text)))
    header = next(lines, None)
    if header is None:
        return
    if header != _HEADER:
        raise ConfigurationError(
            f"{path} is not a table of this benchmark, its columns are {','.join(header)}: move "
            f"it or choose another folder"
        )
    seen: set[Key] = set()
    for number, cells in enumerate(lines, start=2):
        try:
            named = dict(zip(_HEADER, cells, strict=True))
            row = Row(**{name: _value(name, cell) for name, cell in named.items()})
        except ValueError:
            raise ConfigurationError(
                f"{path}, line {number}, is not a row of this benchmark: correct or remove it"
            ) from None
        if row.key in seen:
            raise ConfigurationError(
                f"{path}, line {number}, has the key of an earlier row: remove one of them"
            )
        seen.add(row.key)
        yield row


def _value(name: str, cell: str) -> Any:
    if name not in _NUMBERS:
        return cell
    if not cell and name != "seed":
        return None
    return _NUMBERS[name](cell)


def _cells(row: Row) -> list[str]:
    values = [getattr(row, name) for name in _HEADER]
    return ["" if value is None else str(value) for value in values]


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
