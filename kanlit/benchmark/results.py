"""The table of runs ``results.csv``: a row a run, no half rows, no doubled keys."""

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

from filelock import FileLock, Timeout

from kanlit.errors import ConfigurationError
from kanlit.files import written_whole

__all__ = ["Key", "Results", "Row", "curve_path", "locked", "write_whole"]


class Key(NamedTuple):
    """What tells a run from the others of a matrix."""

    benchmark: str
    task: str
    density: str
    recipe: str
    seed: int

    @property
    def slug(self) -> str:
        """The key as a file's name, such as ``helmholtz-1_2-InputDensity-sound-3``."""
        return "-".join(re.sub(r"[^\w.+-]+", "_", str(part)).strip("_") for part in self)


@dataclass(frozen=True)
class Row:
    """What came of a run; the numbers are ``None`` where it failed.

    Attributes:
        benchmark: Name of the suite.
        task: Name of the task as published.
        density: Class of the density, or name of the variant.
        recipe: Name of the recipe.
        seed: Seed of the run.
        rel_l2: Relative L2 error of the last weights on the test grid.
        wall_s: Seconds of training.
        adapt_s: Seconds of them in grid adaptations, the fetching of samples included.
        epochs: Epochs trained.
        params: Number of parameters at the end.
        grid_size: G at the end.
        version: kanlit's.
        error: Why it failed, on one line; empty where it did not.
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
}


class Results:
    """The rows of ``folder/results.csv`` as they stand, and the only one to write more.

    A row is appended in a single write and brought to the disk; a writer that is killed on the
    way leaves a last line without its end, which is dropped. A row with an error is replaced
    when its run is tried again, by way of a new file that takes the old one's name.

    Args:
        folder: Where the table is, or will be.

    Raises:
        ConfigurationError: It is not a table of runs, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "results.csv"
        self.rows: dict[Key, Row] = {}
        try:
            text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            whole = text[: text.rfind("\n") + 1]
            for row in _parsed(whole, self.path):
                self.rows[row.key] = row
            if not whole:
                write_whole(self.path, _line(_HEADER))
            elif whole != text:
                write_whole(self.path, whole)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write {self.path} ({error.strerror}): give another --out"
            ) from None
        except UnicodeDecodeError:
            raise ConfigurationError(
                f"{self.path} is not text: move it away or give another --out"
            ) from None

    def done(self, key: Key) -> bool:
        """Whether the run is there, and without an error."""
        return key in self.rows and not self.rows[key].error

    def add(self, row: Row) -> None:
        """Writes a row; it takes the place of one of the same key."""
        known = row.key in self.rows
        self.rows[row.key] = row
        if known:
            lines = [_HEADER, *(_cells(each) for each in self.rows.values())]
            write_whole(self.path, "".join(map(_line, lines)))
            return
        with self.path.open("ab", buffering=0) as file:
            file.write(_line(_cells(row)).encode())
            os.fsync(file.fileno())


def curve_path(folder: Path, key: Key) -> Path:
    """Where a run's curve is: ``epoch, train_loss, grid_size, adapted``, some 100 rows."""
    return folder / "curves" / f"{key.slug}.csv"


def write_whole(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a second command off a folder; the lock goes with the process, however it ends.

    Raises:
        ConfigurationError: The folder is taken, or cannot be made.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigurationError(
            f"another kanlit benchmark writes to {folder}: wait for it or give another --out"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to {folder} ({error.strerror}): give another --out"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _parsed(text: str, path: Path) -> Iterator[Row]:
    """The rows of a table whose lines are whole."""
    lines = csv.reader(io.StringIO(text))
    header = next(lines, None)
    if header is None:
        return
    if header != _HEADER:
        raise ConfigurationError(
            f"{path} is no table of this benchmark, its columns are {','.join(header)}: move it "
            f"away or give another --out"
        )
    seen: set[Key] = set()
    for number, cells in enumerate(lines, start=2):
        try:
            named = dict(zip(_HEADER, cells, strict=True))
            row = Row(**{name: _value(name, cell) for name, cell in named.items()})
        except ValueError:
            raise ConfigurationError(
                f"{path}, line {number}, is no row of this benchmark: mend or remove it"
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
