"""What a user may have meant by a name that is unknown."""

from __future__ import annotations

from collections.abc import Collection
from difflib import SequenceMatcher

__all__ = ["hint"]

_MOST, _CLOSEST = 24, 8


def hint(name: str, known: Collection[str]) -> str:
    """``did you mean …?`` if one is close, and the known names, of many the closest."""
    likeness = {k: SequenceMatcher(None, name.lower(), k.lower()).ratio() for k in known}
    ranked = sorted(known, key=lambda k: -likeness[k])
    near = f"did you mean {ranked[0]}? " if ranked and likeness[ranked[0]] > 0.6 else ""
    shown = ranked if len(ranked) <= _MOST else [*ranked[:_CLOSEST], "…"]
    return f"{near}choose from {', '.join(shown)}"
