"""Tables written as files: CSV, TSV or Parquet by their suffix, whole or not at all."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from kanlit.errors import ConfigurationError
from kanlit.files import check_output, written_whole

__all__ = ["check_table_output", "write_table"]

_SUFFIXES = (".csv", ".tsv", ".parquet")


def check_table_output(path: Path) -> None:
    """Refuses a path at which no table can be written; makes its folder.

    Raises:
        ConfigurationError: See :func:`kanlit.files.check_output`; Parquet without pyarrow.
    """
    check_output(path, _SUFFIXES)
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise ConfigurationError(
            f"--output {path}: Parquet needs pyarrow: pip install pyarrow, or write a .csv"
        )


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a table by the suffix of ``path``, whole or not at all; folders are made.

    Truth values stand in text as ``true`` and ``false``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as unfinished:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(unfinished, index=False)
            return
        text = table.copy(deep=False)
        for name in table.select_dtypes("bool"):
            text[name] = table[name].map({True: "true", False: "false"})
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        text.to_csv(unfinished, index=False, sep=separator)
