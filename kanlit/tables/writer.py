"""Writes tables atomically as CSV, TSV or Parquet files."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from kanlit.errors import ConfigurationError
from kanlit.files import check_output, written_whole

__all__ = ["check_table_output", "write_table"]

_SUFFIXES = (".csv", ".tsv", ".parquet")


def check_table_output(path: Path) -> None:
    """Checks that a table can be written to a path; creates its folder.

    Raises:
        ConfigurationError: See :func:`kanlit.files.check_output`; Parquet without pyarrow.
    """
    check_output(path, _SUFFIXES)
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise ConfigurationError(
            f"{path} needs pyarrow: run pip install 'kanlit[table]', or write a .csv file"
        )


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a table atomically, in the format of the suffix of ``path``; creates its folder.

    In text formats, Boolean values are written as ``true`` and ``false``.
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
