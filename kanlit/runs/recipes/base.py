"""A recipe: default settings of a run that belong together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from jsonargparse import Namespace

__all__ = ["Recipe"]


class Recipe(NamedTuple):
    """Settings that lie below those of the user, as a whole or not at all.

    Attributes:
        leaves: Whether a key that the user sets contradicts the recipe, which then does not apply.
        settings: The recipe as a config, from a function that parses the user's settings and from
            the keys that the user sets; None if the parser should report the user's settings.
    """

    leaves: Callable[[str], bool]
    settings: Callable[[Callable[[], Namespace], Collection[str]], Mapping[str, Any] | None]
