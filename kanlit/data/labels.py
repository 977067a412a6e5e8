"""Finds the classes in a column of labels."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kanlit.errors import ConfigurationError
from kanlit.tables.base import is_number

__all__ = ["class_names", "class_numbers"]

_INTEGER = re.compile(r"0|-?[1-9]\d*")  # in canonical form: not 007, +7 or 7.0
_CODE = re.compile(r"[+-]?\d+(\.0*)?")
_LEAST_ROWS = 2  # mean number of rows per class; with fewer, the column is not of classes


def class_names(labels: Sequence[str], where: str) -> list[str]:
    """The distinct classes as written: 7, 07 and 007 are three classes.

    Args:
        labels: The label of each row; surrounding spaces are ignored.
        where: The column and its file, for messages.

    Returns:
        The classes, sorted by value if all are integers in canonical form, otherwise
        alphabetically.

    Raises:
        ConfigurationError: The labels are numbers but not integers; there are fewer than two rows
            per class on average; there is only one class.

    Example:
        >>> class_names(["10", "9", "9", "10"], "column 'y' of t.csv")
        ['9', '10']
        >>> class_names(["042", "007", "42", "7"] * 2, "column 'y' of t.csv")
        ['007', '042', '42', '7']
    """
    written = [label.strip() for label in labels]
    found = set(written)
    codes = all(_CODE.fullmatch(name) for name in found)
    if not codes and all(is_number(name) for name in found):
        first = next(name for name in written if not _CODE.fullmatch(name))
        raise ConfigurationError(
            f"{where} has numbers such as {first}, not classes: choose a column of integers or "
            f"text, or use TableData for numeric targets"
        )
    if len(found) < 2:
        raise ConfigurationError(
            f"{where} has only one class, {written[0]!r}: add rows of at least one other class"
        )
    if len(found) * _LEAST_ROWS > len(written):
        raise ConfigurationError(
            f"{where} has {len(found)} different values in {len(written)} rows, too many for "
            f"classes: choose a column with at least {_LEAST_ROWS} rows per class, or use "
            f"TableData for numeric targets"
        )
    integers = all(_INTEGER.fullmatch(name) for name in found)
    return sorted(found, key=int) if integers else sorted(found)


def class_numbers(labels: Sequence[str], classes: Sequence[str], where: str) -> list[int]:
    """The index of each row's class in ``classes``.

    Raises:
        ConfigurationError: A label is not in ``classes``.
    """
    places = {name: number for number, name in enumerate(classes)}
    written = [label.strip() for label in labels]
    if unknown := [name for name in written if name not in places]:
        quotes = f" (in quotes, {unknown[0]!r})" if _CODE.fullmatch(unknown[0]) else ""
        raise ConfigurationError(
            f"{where} has label {unknown[0]!r}, which is not in classes {', '.join(classes)}: add "
            f"it to classes{quotes} or remove its rows"
        )
    return [places[name] for name in written]
