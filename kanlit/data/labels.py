"""What the classes in a column of labels are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kanlit.errors import ConfigurationError

__all__ = ["class_names", "class_numbers"]

_INTEGER = re.compile(r"[+-]?\d+(\.0*)?")
_LEAST_ROWS = 2  # of a class, in the mean; a column with fewer measures or numbers its rows


def class_names(labels: Sequence[str], where: str) -> list[str]:
    """The distinct classes, integers in the order of their size, texts in that of the alphabet.

    Args:
        labels: The label of each row; ``1`` and ``1.0`` are one class.
        where: The column and its file, for messages.

    Raises:
        ConfigurationError: Numbers that are not integers; hardly two rows a class; one class only.

    Example:
        >>> class_names(["10", "9", "9.0", "10"], "column 'y' of t.csv")
        ['9', '10']
    """
    written = [_canonical(label) for label in labels]
    found = set(written)
    integers = all(_INTEGER.fullmatch(name) for name in found)
    if not integers and all(_is_number(name) for name in found):
        first = next(name for name in written if not _INTEGER.fullmatch(name))
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
    return sorted(found, key=int) if integers else sorted(found)


def class_numbers(labels: Sequence[str], classes: Sequence[str], where: str) -> list[int]:
    """The place of each row's class among ``classes``.

    Raises:
        ConfigurationError: A label that is none of them.
    """
    places = {name: number for number, name in enumerate(classes)}
    written = [_canonical(label) for label in labels]
    if unknown := [name for name in written if name not in places]:
        raise ConfigurationError(
            f"{where} has label {unknown[0]!r}, which is none of classes {', '.join(classes)}: add "
            f"it to classes or remove its rows"
        )
    return [places[name] for name in written]


def _canonical(label: str) -> str:
    label = label.strip()
    return str(int(label.partition(".")[0])) if _INTEGER.fullmatch(label) else label


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
