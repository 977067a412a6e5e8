"""Reads columns of numbers from files: one reader per format behind one interface."""

from kanlit.tables.base import tidy_name
from kanlit.tables.front import (
    Table,
    data_columns,
    not_there,
    read_as_it_stands,
    read_columns,
    read_table,
    read_texts,
)

__all__ = [
    "Table",
    "data_columns",
    "not_there",
    "read_as_it_stands",
    "read_columns",
    "read_table",
    "read_texts",
    "tidy_name",
]
