"""Columns of numbers out of a file: one reader a format, one front for all."""

from kanlit.data.tables.front import Table, read_columns, read_table, read_texts

__all__ = ["Table", "read_columns", "read_table", "read_texts"]
