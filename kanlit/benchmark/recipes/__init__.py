"""Recipes (how runs are trained) and variants (what is compared): layers of settings."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kanlit.benchmark.tasks import SUITES
from kanlit.errors import ConfigurationError
from kanlit.runs.settings import read_mapping

__all__ = ["SHIPPED", "Layer", "densities_by_class", "load_recipe", "load_variants"]

Layer = Mapping[str, Any]
"""Nested settings under kanlit's keys; a layer overrides the layers below it."""

SHIPPED = ("sound", "paper", "best", "fast")
_NAME = re.compile(r"[\w.+-]+")


def load_recipe(recipe: str, suites: Collection[str]) -> tuple[str, dict[str, list[Layer]]]:
    """Loads a recipe: its name, and its layers for each benchmark, lowest first.

    ``sound`` is the lowest layer of every recipe. A recipe file has a key per benchmark with the
    settings that differ from ``sound``; other benchmarks are those of ``sound``.

    Args:
        recipe: Name of one of :data:`SHIPPED`, or the path of a YAML file.
        suites: Names of the benchmarks to load.

    Raises:
        ConfigurationError: If there is no such recipe or the file is invalid.
    """
    base = _shipped("sound")
    if recipe == "sound":
        return recipe, {suite: [base[suite]] for suite in suites}
    if recipe in SHIPPED:
        name, content = recipe, _shipped(recipe)
    else:
        check = f"give one of {', '.join(SHIPPED)}, or the path of a YAML file"
        if "\n" in recipe or not recipe:
            raise ConfigurationError(f"recipe {recipe!r} is neither a name nor a path: {check}")
        content = read_mapping(
            recipe, "recipe", check, f"it needs keys such as {', '.join(SUITES)}"
        )
        name = _checked_name(Path(recipe).stem, f"recipe {recipe}")
        if name in SHIPPED:
            raise ConfigurationError(
                f"recipe {recipe} has the name of a shipped recipe: rename the file"
            )
    for suite, layer in content.items():
        if suite not in SUITES:
            raise ConfigurationError(
                f"unknown benchmark {suite!r} in recipe {recipe}: choose from {', '.join(SUITES)}"
            )
        if not isinstance(layer, dict):
            raise ConfigurationError(
                f"{suite} in recipe {recipe} holds a {type(layer).__name__}: give it keys such as "
                f"model, adaptation and trainer"
            )
    return name, {
        suite: [base[suite], *([content[suite]] if content.get(suite) else [])] for suite in suites
    }


def load_variants(path: str) -> dict[str, Layer]:
    """Loads named variants from a YAML file: settings that override those of the recipe.

    Raises:
        ConfigurationError: If the file cannot be read or a variant is not a mapping.
    """
    needs = "it needs a key per variant with the settings that differ from the recipe"
    if "\n" in path or not path:
        raise ConfigurationError("variants need the path of a YAML file: give one")
    content = read_mapping(path, "variants file", "check its path", needs)
    if not content:
        raise ConfigurationError(f"variants file {path} is empty: {needs}")
    for name, layer in content.items():
        _checked_name(name, f"variant {name!r} in {path}")
        if not isinstance(layer, dict):
            raise ConfigurationError(
                f"variant {name} in {path} holds a {type(layer).__name__}: give it keys such as "
                f"adaptation, model and trainer"
            )
    return content


def densities_by_class(names: Sequence[str]) -> dict[str, Layer]:
    """One variant per density class; it keeps the recipe's settings for that class.

    Raises:
        ConfigurationError: If there is no name, or one with characters that are not allowed.
    """
    if not names:
        raise ConfigurationError(
            "no density is selected: give some, such as InputDensity,CurvatureDensity"
        )
    return {
        _checked_name(name, f"density {name!r}"): {"adaptation": {"density": name}}
        for name in names
    }


def _shipped(name: str) -> Mapping[str, Layer]:
    text = (files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
    return MappingProxyType(read_mapping(text, "recipe", "", ""))


def _checked_name(name: object, what: str) -> str:
    """Checks that a name can be used in tables and file names."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{what}: a name has only letters, digits, '.', '_', '+' and '-': give another"
        )
    return name
