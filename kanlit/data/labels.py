"""What the classes in a column of labels are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kanlit.errors import ConfigurationError

__all__ = ["class_names", "class_numbers"]

_INTEGER = re.compile(r"0|-?[1-9]\d*")  # as a computer writes it: no 007, +7 or 7.0
_CODE = re.compile(r"[+-]?\d+(\.0*)?")
_LEAST_ROWS = 2  # of a class, in the mean; a column with fewer measures or numbers its rows


def class_names(labels: Sequence[str], where: str) -> list[str]:
    """The distinct classes as they are written: 7, 07 and 007 are three.

    Args:
        labels: The label of each row; spaces around it do not matter.
        where: The column and its file, for messages.

    Returns:
        In the order of their size where all are integers written plainly, in that of the alphabet
        otherwise.

    Raises:
        ConfigurationError: Numbers that are not integers; hardly two rows a class; one class only.

    Example:
        >>> class_names(["10", "9", "9", "10"], "column 'y' of t.csv")
        ['9', '10']
        >>> class_names(["042", "007", "42", "7"] * 2, "column 'y' of t.csv")
        ['007', '042', '42', '7']
    """
    written = [label.strip() for label in labels]
    found = set(written)
    codes = all(_CODE.fullmatch(name) for name in found)
    if not codes and all(_is_number(name) for name in found):
        first = next(name for name in written if not _CODE.fullmatch(name))
        raise ConfigurationError(
            f"{where} has numbers such as {first}, not classes: name a column of integers or "
            f"texts, or learn numbers with TableData"
        )
    if len(found) < 2:
        raise ConfigurationError(
            f"{where} has one class only, {written[0]!r}: give rows of at least two"
        )
    if len(found) * _LEAST_ROWS > len(written):
        raise ConfigurationError(
            f"{where} has {len(found)} different values in {len(written)} rows, too many for "
            f"classes: name a column with at least {_LEAST_ROWS} rows a class, or learn numbers "
            f"with TableData"
        )
    integers = all(_INTEGER.fullmatch(name) for name in found)
    return sorted(found, key=int) if integers else sorted(found)


def class_numbers(labels: Sequence[str], classes: Sequence[str], where: str) -> list[int]:
    """The place of each row's class among ``classes``.

    Raises:
        ConfigurationError: A label that is none of them.
    """
    places = {name: number for number, name in enumerate(classes)}
    written = [label.strip() for label in labels]
    if unknown := [name for name in written if name not in places]:
        quotes = f" (in quotes, {unknown[0]!r})" if _CODE.fullmatch(unknown[0]) else ""
        raise ConfigurationError(
            f"{where} has label {unknown[0]!r}, which is none of classes {', '.join(classes)}: add "
            f"it to classes{quotes} or remove its rows"
        )
    return [places[name] for name in written]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
