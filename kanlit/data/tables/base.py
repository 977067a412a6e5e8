"""What a reader of one format of tables gives to the front."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol
from unicodedata import normalize

import pandas as pd

__all__ = ["BLOCK", "TableFile", "tidy_name"]

BLOCK = 65536  # rows read at a time


def tidy_name(name: object) -> str:
    """A column's name as it is compared: composed letters (NFC), no spaces around it.

    >>> tidy_name(" he\u0301 ") == "h\u00e9"
    True
    """
    return normalize("NFC", str(name)).strip()


class TableFile(Protocol):
    """A table in a file, read a block of rows at a time, so that it is never there twice."""

    path: Path

    def names(self) -> list[str]:
        """Tidy names of the columns, in the file's order; one can be there twice.

        Raises:
            ConfigurationError: The file has none.
        """

    def row_labels(self) -> Collection[str]:
        """Columns that only number or name the rows, such as a data frame's index."""

    def missing(self, column: str) -> str | None:
        """Why a column is not there, where the format knows more than that it is not."""

    def rows_at_most(self) -> int:
        """The number of rows, or a bound that is little more."""

    def blocks(self, columns: Sequence[str], texts: bool = False) -> Iterator[pd.DataFrame]:
        """The named columns, rows in order, in blocks of :data:`BLOCK` rows or fewer.

        With ``texts`` a text file's fields are left as they stand there.
        """

    def place(self, row: int) -> str:
        """Where a user finds a row, counted from 0 here: ``line 2``, ``row 1``."""
