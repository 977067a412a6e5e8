"""Explains a parser's error about a value of the wrong type."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kanlit.runs.settings import Setting

__all__ = ["explain_type"]

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "dict": "a mapping such as {0: 3, 500: 6}",
    "list": "a list such as [3, 6] or [a, b]",
    "Sequence": "a list such as [3, 6] or [a, b]",
    "Iterable": "a list",
}


# Settings for which another example says more.
_BOUNDS = "a mapping such as {x: [-1, 1]}"
_EXAMPLES = {"bounds": {"dict": _BOUNDS, "list": _BOUNDS, "float": f"{_BOUNDS} of numbers"}}


def explain_type(message: str, settings: Sequence[Setting]) -> str | None:
    """``KEY: expected …, got …`` for a value of the wrong type; ``None`` for anything else."""
    key = re.match(r'Parser key "([^"]+)"', message)
    got = re.search(r"(?:Given value|Got value): (.*)\s*\Z", message)
    union = re.search(r"Subtypes: \[(.*)\]", message)
    listed = union[1] if union else " ".join(re.findall(r"Expected an? (.*)", message))
    wanted = re.findall(r"<class '([\w.]+)'>|Literal\[(.*?)\]|\b(dict|list)\[", listed)
    same = [s for s in settings if key and (s.key == key[1] or s.key.endswith(f".{key[1]}"))]
    if not key or not wanted or not (same or got):
        return None
    expected: list[str] = []
    for name, literals, generic in wanted:
        short = generic or name.rpartition(".")[2]
        if literals:
            expected += literals.replace("'", "").split(", ")
        elif short != "NoneType":
            words = _WORDS | _EXAMPLES.get(key[1], {})
            expected.append(words.get(short, short))
    if not expected:
        return None
    within = next((s.label for s in settings if f".{key[1]}." in s.label), None)
    above = f"{within.partition(f'.{key[1]}.')[0]}.{key[1]}" if within else key[1]
    label = same[-1].label if same else above
    value = same[-1].value if same else got[1] if got else ""
    choice = list(dict.fromkeys(expected))
    listing = " or ".join(choice) if len(choice) < 4 else f"one of {', '.join(choice)}"
    return f"{label}: expected {listing}, got {value!r}"
