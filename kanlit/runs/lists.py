"""Lists in layers of settings: a later list replaces an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from kanlit.runs.settings import CONFIG, loaded, read_config, words_of

__all__ = ["with_fresh_lists"]


def with_fresh_lists(argv: Sequence[str]) -> list[str]:
    """Puts before each word that sets a list of classes one that empties the list.

    jsonargparse merges two lists of the same length member by member: a callback would keep the
    arguments of the one that it replaces, if both have the same class.
    """
    found: list[str] = []
    earlier = False  # whether a list was set before
    for word, option, value in words_of(argv):
        empty: list[str] = []
        if option in CONFIG:
            content = read_config(value)
            emptied = _emptied(content)
            if emptied != content:
                empty = [option, yaml.safe_dump(emptied)]
        elif option.startswith("--") and not option.endswith("+"):
            given = loaded(value, option)
            if isinstance(given, list) and _emptied(given) != given:
                empty = [option, "[]"]
        if empty and earlier:
            found += empty
        earlier = earlier or bool(empty) or option.endswith("+")
        found.append(word)
    return found


def _emptied(value: Any) -> Any:
    """The value with empty lists instead of those whose members may name classes."""
    if isinstance(value, Mapping):
        return {key: _emptied(inner) for key, inner in value.items() if not str(key).endswith("+")}
    if isinstance(value, list) and any(isinstance(member, str | Mapping) for member in value):
        return []
    return value
