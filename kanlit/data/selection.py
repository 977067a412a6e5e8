"""Selects the input and target columns of a table by name or pattern."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kanlit.errors import ConfigurationError
from kanlit.tables import data_columns, not_there, tidy_name

__all__ = ["Name", "Names", "Selection", "select_columns"]

Name = str | int
"""A column's name; an integer if YAML parses it as one."""

# The tuple comes first: for a list, jsonargparse copies the whole list for each item.
Names = tuple[str | int, ...] | Sequence[str | int] | str
"""Names of columns, patterns such as c*, or the word all."""

_ALL = "all"
_SHOWN = 5  # names shown at the start of a long list


@dataclass(frozen=True)
class Selection:
    """Names of the selected columns.

    Attributes:
        inputs: Input columns, in the order of the network's inputs.
        targets: Target columns, in the order of the network's outputs.
        note: A log line with the columns that patterns selected; None without patterns.
    """

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    note: str | None = None


def select_columns(
    path: str, inputs: Names, targets: Names, others: Sequence[str] = ()
) -> Selection:
    """Selects columns of a file by names and patterns.

    A pattern with ``*`` or ``?`` selects the matching columns (:mod:`fnmatch`) in the file's order;
    ``all`` instead of a list selects every column. Patterns do not select columns that are named
    elsewhere (in ``others``, ``inputs`` or ``targets``), nor the index of a data frame.

    Args:
        path: The file; it is opened only if there is a pattern.
        inputs: Names or patterns of the inputs, in order.
        targets: Names or patterns of the targets, in order.
        others: Columns that are neither inputs nor targets.

    Raises:
        ConfigurationError: The file cannot be read; a pattern matches no column; a column is named
            twice; no column is selected.
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
    """Whether a name is a pattern and not the exact name of a column."""
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
            f"column {both[0]!r} is both an input and a target: remove it from one of the two"
        )
