"""Interface of the readers of table formats."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol
from unicodedata import normalize

import pandas as pd

__all__ = ["BLOCK", "TableFile", "is_number", "tidy_name"]

BLOCK = 65536  # rows per block


def tidy_name(name: object) -> str:
    """Normalizes a column's name for comparison: NFC, without surrounding spaces.

    >>> tidy_name(" he\u0301 ") == "h\u00e9"
    True
    """
    return normalize("NFC", str(name)).strip()


def is_number(text: str) -> bool:
    """Whether a field of a text file is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


class TableFile(Protocol):
    """A table file, read in blocks of rows, so that only one copy is in memory."""

    path: Path

    def names(self) -> list[str]:
        """Normalized names of the columns in the file's order; names may repeat.

        Raises:
            ConfigurationError: The file has no columns.
        """

    def row_labels(self) -> Collection[str]:
        """Columns that only identify the rows, such as a data frame's index."""

    def missing(self, column: str) -> str | None:
        """Why a column is missing, if the format gives a more specific reason; else None."""

    def rows_at_most(self) -> int:
        """The number of rows, or a close upper bound."""

    def blocks(self, columns: Sequence[str], texts: bool = False) -> Iterator[pd.DataFrame]:
        """The named columns, in blocks of at most :data:`BLOCK` rows, in order.

        With ``texts``, the fields of a text file are not parsed.
        """

    def place(self, row: int) -> str:
        """Position of a row (an index from 0) for messages: ``line 2``, ``row 1``."""
