"""Parquet, read by pyarrow, which the extra ``table`` installs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kanlit.errors import ConfigurationError
from kanlit.tables.base import BLOCK, tidy_name

__all__ = ["ParquetFile"]


class ParquetFile:
    """A Parquet file; only the requested columns are read.

    Args:
        path: The file.

    Raises:
        ConfigurationError: pyarrow is not installed, or the file is not Parquet.
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
        path.open("rb").close()  # raises the system's error if the file cannot be read
        try:
            # Reads pages on demand instead of whole row groups.
            self._file: Any = parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
        except self._error as error:
            raise self._broken(error) from None

    def names(self) -> list[str]:
        names = [tidy_name(name) for name in self._file.schema_arrow.names]
        if not names:
            raise ConfigurationError(f"{self.path} has no columns: save a table of numbers")
        return names

    def row_labels(self) -> Collection[str]:
        kept = (self._file.schema_arrow.pandas_metadata or {}).get("index_columns", [])
        return [tidy_name(name) for name in kept if isinstance(name, str)]

    def missing(self, column: str) -> str | None:
        return None

    def rows_at_most(self) -> int:
        rows: int = self._file.metadata.num_rows
        return rows

    def blocks(self, columns: Sequence[str], texts: bool = False) -> Iterator[pd.DataFrame]:
        if self.rows_at_most() == 0:
            raise ConfigurationError(f"{self.path} has no rows: add rows of numbers")
        written = {tidy_name(name): name for name in self._file.schema_arrow.names}
        wanted = [written[column] for column in columns]
        try:
            for batch in self._file.iter_batches(BLOCK, columns=wanted):
                # Without pandas metadata, an index is a column and integer names are text.
                frame = batch.to_pandas(ignore_metadata=True)
                yield frame[wanted].set_axis(list(columns), axis=1)
        except self._error as error:
            raise self._broken(error) from None

    def place(self, row: int) -> str:
        return f"row {row + 1}"

    def _broken(self, error: Exception) -> ConfigurationError:
        reason = " ".join(str(error).split())
        return ConfigurationError(
            f"{self.path} is not a Parquet file ({reason}): save it as one, with to_parquet"
        )
