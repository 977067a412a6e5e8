"""CSV and TSV: text with a header and a separator between fields."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from kanlit.errors import ConfigurationError
from kanlit.tables.base import BLOCK, is_number, tidy_name

__all__ = ["DelimitedFile"]

_ENCODING = "utf-8-sig"
_SUFFIXES = {",": "CSV", "\t": "TSV"}
_INDEX = re.compile(r"(Unnamed: \d+)?")  # names that pandas gives to an unnamed index


class DelimitedFile:
    """A UTF-8 text file with the names in the first line and numbers below.

    Args:
        path: The file.
        separator: Separator of the fields, a comma or a tab.
    """

    def __init__(self, path: Path, separator: str = ",") -> None:
        self.path = path
        self._separator = separator
        self._header: list[str] = []

    def names(self) -> list[str]:
        rows = self._rows()
        _, first = next(rows, (0, []))
        self._header = [tidy_name(name) for name in first]
        if not self._header:
            raise ConfigurationError(
                f"{self.path} is empty: it needs a header line and rows of numbers"
            )
        return self._header

    def row_labels(self) -> Collection[str]:
        return [name for name in self._header if _INDEX.fullmatch(name)]

    def missing(self, column: str) -> str | None:
        header = self._header
        first = self._separator.join(header)
        shown = first if len(first) <= 40 else f"{first[:39]}…"
        if first.startswith("#"):
            return (
                f"the first line of {self.path} is a comment ({shown}): remove it, or remove only "
                "the # if the line names the columns"
            )
        if re.fullmatch(r"sep=.?", header[0]):
            return (
                f"the first line of {self.path} ({header[0]}) is only for Excel: remove it, so "
                "that the file starts with the column names"
            )
        if all(is_number(name) for name in header):
            return (
                f"{self.path} has no header (its first line is {shown}): add a first line with the "
                "column names"
            )
        others = [s for s in ";\t|, " if s != self._separator]
        if len(header) == 1 and (found := next((s for s in others if s in header[0]), None)):
            wanted = "commas" if self._separator == "," else "tabs"
            rename = f", or name it .{_SUFFIXES[found].lower()}" if found in _SUFFIXES else ""
            point = " and a point as decimal separator" if found == ";" else ""
            by = "spaces" if found == " " else repr(found)
            return (
                f"the fields of {self.path} are separated by {by}: save it with {wanted}{point}"
                f"{rename}"
            )
        return None

    def rows_at_most(self) -> int:
        feeds = returns = 0
        with self.path.open("rb") as file:
            while block := file.read(2**20):
                feeds += block.count(b"\n")
                returns += block.count(b"\r")
        return max(feeds, returns) + 1

    def blocks(self, columns: Sequence[str], texts: bool = False) -> Iterator[pd.DataFrame]:
        rows = self._rows()
        next(rows)
        line, row = next(rows, (0, []))
        if not row:
            raise ConfigurationError(f"{self.path} has a header but no rows: add rows of numbers")
        if len(row) != len(self._header):
            raise self._wrong_length(line, row)
        # All columns are parsed, in blocks of rows: with `usecols`, pandas would accept a line
        # with too many fields. With texts, None and NA are ordinary labels.
        as_they_stand: dict[str, Any] = {"dtype": str, "keep_default_na": False} if texts else {}
        places = {name: place for place, name in enumerate(self._header)}
        where = [places[column] for column in columns]
        with self.path.open(newline="", encoding=_ENCODING) as file:
            reader = csv.reader(file, delimiter=self._separator)
            next(fields for fields in reader if not _is_blank(fields))
            try:
                yield from (
                    block[where].set_axis(list(columns), axis=1)
                    for block in pd.read_csv(
                        file,
                        sep=self._separator,
                        header=None,
                        low_memory=False,
                        skipinitialspace=True,
                        chunksize=BLOCK,
                        **as_they_stand,
                    )
                )
            except pd.errors.ParserError as error:
                for line, row in self._rows():
                    if len(row) > len(self._header):
                        raise self._wrong_length(line, row) from None
                raise self._malformed(error) from None

    def place(self, row: int) -> str:
        return f"line {next(islice(self._rows(), row + 1, None))[0]}"

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows that are not blank, each with the number of its last line, from 1."""
        try:
            with self.path.open(newline="", encoding=_ENCODING) as file:
                reader = csv.reader(file, delimiter=self._separator)
                for fields in reader:
                    if not _is_blank(fields):
                        yield reader.line_num, fields
        except csv.Error as error:
            raise self._malformed(error) from None

    def _malformed(self, error: Exception) -> ConfigurationError:
        kind = _SUFFIXES[self._separator]
        return ConfigurationError(f"{self.path} is not a {kind} ({error}): save it as one")

    def _wrong_length(self, line: int, row: list[str]) -> ConfigurationError:
        if row[0].lstrip().startswith("#"):
            return ConfigurationError(f"line {line} of {self.path} is a comment: remove it")
        return ConfigurationError(
            f"line {line} of {self.path} has {len(row)} fields but the header has "
            f"{len(self._header)}: write one number per column, with a point as decimal separator"
        )


def _is_blank(fields: list[str]) -> bool:
    return len(fields) == 0 or (len(fields) == 1 and not fields[0].strip())
