"""Which columns of a table a network learns from, and which it learns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kanlit.data.tables import data_columns, not_there, tidy_name
from kanlit.errors import ConfigurationError

__all__ = ["Name", "Names", "Selection", "select_columns"]

Name = str | int
"""A column's name; an integer where YAML takes it for one."""

# The tuple comes first: for each item of a list jsonargparse copies all of it.
Names = tuple[str | int, ...] | Sequence[str | int] | str
"""Names of columns, patterns such as c*, or all."""

_ALL = "all"
_SHOWN = 5  # names at the start of a long list


@dataclass(frozen=True)
class Selection:
    """Columns by name.

    Attributes:
        inputs: In the order in which the network takes them.
        targets: In the order in which it gives them.
        note: What a pattern has chosen, for the user; None where all were named.
    """

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    note: str | None = None


def select_columns(
    path: str, inputs: Names, targets: Names, others: Sequence[str] = ()
) -> Selection:
    """The columns of a file that names and patterns choose.

    A pattern with ``*`` or ``?`` takes the columns that it matches (:mod:`fnmatch`), in the
    file's order; ``all`` in place of a list takes every column. They take none that ``others`` or
    the other of the two name, and no index that a data frame has written.

    Args:
        path: The file; it is opened only where there is a pattern.
        inputs: Names of the inputs, in order.
        targets: Names of the targets, in order.
        others: Columns that are neither.

    Raises:
        ConfigurationError: The file cannot be read; a pattern matches nothing; a column is named
            twice, or none is.
    """
    chosen = {"inputs": _listed(inputs), "targets": _listed(targets)}
    patterns = {setting: _patterns(names) for setting, names in chosen.items()}
    if not any(patterns.values()):
        _check(chosen["inputs"], chosen["targets"])
        return Selection(tuple(chosen["inputs"]), tuple(chosen["targets"]))
    there = data_columns(path)
    taken = {*map(tidy_name, others)}
    taken |= {name for names in chosen.values() for name in names if not _is_pattern(name, there)}
    for setting in ("targets", "inputs"):
        if patterns[setting]:
            chosen[setting] = _matched(path, chosen[setting], there, taken)
            taken |= set(chosen[setting])
    _check(chosen["inputs"], chosen["targets"])
    parts = [
        f"{len(chosen[setting])} {setting}: {_summary(chosen[setting])}"
        for setting in chosen
        if patterns[setting]
    ]
    note = f"columns of {path}, {'; '.join(parts)}"
    return Selection(tuple(chosen["inputs"]), tuple(chosen["targets"]), note)


def _listed(names: Names) -> list[str]:
    if isinstance(names, str):
        return ["*" if names == _ALL else tidy_name(names)]
    return [tidy_name(name) for name in names]


def _patterns(names: Sequence[str]) -> list[str]:
    return [name for name in names if "*" in name or "?" in name]


def _is_pattern(name: str, there: Sequence[str]) -> bool:
    """Whether a name is a pattern: a column of the very name is meant itself."""
    return bool(_patterns([name])) and name not in there


def _matched(path: str, names: Sequence[str], there: Sequence[str], taken: set[str]) -> list[str]:
    found: dict[str, None] = {}
    for name in names:
        matches = [name]
        if _is_pattern(name, there):
            matches = [other for other in there if fnmatchcase(other, name)]
            if not matches:
                raise not_there(path, name, there)
            matches = [match for match in matches if match not in taken]
        found |= dict.fromkeys(matches)
    return list(found)


def _summary(names: Sequence[str]) -> str:
    if len(names) <= 2 * _SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:_SHOWN])}, …, {names[-1]}"


def _check(inputs: Sequence[str], targets: Sequence[str]) -> None:
    for setting, names in (("inputs", inputs), ("targets", targets)):
        if not names:
            raise ConfigurationError(f"{setting} is empty: name at least one column")
        counts = Counter(names)
        name, count = counts.most_common(1)[0]
        if count > 1:
            raise ConfigurationError(f"{setting} has column {name!r} {count} times: name it once")
    targets_named = set(targets)
    if both := [name for name in inputs if name in targets_named]:
        raise ConfigurationError(
            f"column {both[0]!r} is both an input and a target: take it out of one of the two"
        )
