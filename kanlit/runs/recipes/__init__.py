"""Default settings of a run, one set per file; a data class names its own."""

from __future__ import annotations

from kanlit.data import TensorDataModule
from kanlit.errors import ConfigurationError
from kanlit.runs.recipes.base import Recipe
from kanlit.runs.recipes.classes import CLASSES
from kanlit.runs.recipes.equation import EQUATION
from kanlit.runs.recipes.smooth import SMOOTH

__all__ = ["Recipe", "recipe_of"]

_RECIPES = {"classes": CLASSES, "equation": EQUATION, "smooth": SMOOTH}


def recipe_of(data: type[TensorDataModule]) -> Recipe | None:
    """The recipe that a data class names, None if it names none.

    Raises:
        ConfigurationError: There is no recipe of that name.
    """
    name = data.default_recipe
    if name is not None and name not in _RECIPES:
        raise ConfigurationError(
            f"{data.__name__}.default_recipe must be None or one of {', '.join(_RECIPES)}, got "
            f"{name!r}"
        )
    return None if name is None else _RECIPES[name]
