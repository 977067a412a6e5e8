"""Suggests what a user may have meant by an unknown name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from difflib import get_close_matches

__all__ = ["hint", "near"]

_MOST, _CLOSEST = 24, 8


def near(
    name: str, known: Collection[str], show: Callable[[str], str] = str, cutoff: float = 0.6
) -> str:
    """``did you mean …?`` for the closest of the known names, or an empty string.

    Args:
        name: The unknown name; upper and lower case count as the same.
        known: Names to choose from.
        show: Writes the name that was found, such as ``repr``.
        cutoff: Least similarity, 0 to 1, of a suggestion.
    """
    ranked = _ranked(name, known, cutoff)
    return f"did you mean {show(ranked[0])}? " if ranked else ""


def hint(name: str, known: Collection[str]) -> str:
    """The closest name as :func:`near` gives it, and the known names, of many the closest."""
    ranked = _ranked(name, known, cutoff=0)
    shown = ranked if len(ranked) <= _MOST else [*ranked[:_CLOSEST], "…"]
    return f"{near(name, known)}choose from {', '.join(shown)}"


def _ranked(name: str, known: Collection[str], cutoff: float) -> list[str]:
    lower = {other.lower(): other for other in known}
    found = get_close_matches(name.lower(), lower, n=max(len(lower), 1), cutoff=cutoff)
    return [lower[other] for other in found]
