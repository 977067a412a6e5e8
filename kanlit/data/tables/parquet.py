"""Parquet, read by pyarrow, which the extra ``table`` brings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kanlit.data.tables.base import BLOCK
from kanlit.errors import ConfigurationError

__all__ = ["ParquetFile"]


class ParquetFile:
    """A Parquet file; only the wanted columns are read.

    Args:
        path: The file.

    Raises:
        ConfigurationError: pyarrow is not installed, or the file is no Parquet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise ConfigurationError(
                f"reading {path} needs pyarrow: run pip install 'kanlit[table]', or save the "
                "table as .csv or .npz"
            ) from None
        self._error: type[Exception] = pa.lib.ArrowException
        path.open("rb").close()  # what the system says of a file that cannot be read
        try:
            # Pages are read as they are needed, not whole groups of rows.
            self._file: Any = parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
        except self._error as error:
            raise self._broken(error) from None

    def names(self) -> list[str]:
        names: list[str] = self._file.schema_arrow.names
        if not names:
            raise ConfigurationError(f"{self.path} has no columns: save a table of numbers")
        return names

    def missing(self, column: str) -> str | None:
        return None

    def rows_at_most(self) -> int:
        rows: int = self._file.metadata.num_rows
        return rows

    def blocks(self, columns: Sequence[str], texts: bool = False) -> Iterator[pd.DataFrame]:
        if self.rows_at_most() == 0:
            raise ConfigurationError(f"{self.path} has no rows: add rows of numbers")
        batches = self._file.iter_batches(BLOCK, columns=list(columns))
        try:
            for batch in batches:
                yield batch.to_pandas()[list(columns)]
        except self._error as error:
            raise self._broken(error) from None

    def place(self, row: int) -> str:
        return f"row {row + 1}"

    def _broken(self, error: Exception) -> ConfigurationError:
        reason = " ".join(str(error).split())
        return ConfigurationError(
            f"{self.path} is not a Parquet file ({reason}): save it as one, with to_parquet"
        )
