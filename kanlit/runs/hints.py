"""What a user may have meant by a name that is unknown."""

from __future__ import annotations

from collections.abc import Collection
from difflib import SequenceMatcher

__all__ = ["hint"]


def hint(name: str, known: Collection[str]) -> str:
    """``did you mean …?`` if one is close, and all known names, the closest first."""
    likeness = {k: SequenceMatcher(None, name.lower(), k.lower()).ratio() for k in known}
    ranked = sorted(known, key=lambda k: -likeness[k])
    near = f"did you mean {ranked[0]}? " if ranked and likeness[ranked[0]] > 0.6 else ""
    return f"{near}choose from {', '.join(ranked)}"
