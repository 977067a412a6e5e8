"""Recipes, how runs are trained, and variants, what is compared: layers of kanlit's own keys."""

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
"""Settings under kanlit's keys, nested; laid over another, it says what differs."""

SHIPPED = ("sound", "paper", "best", "fast")
_NAME = re.compile(r"[\w.+-]+")


def load_recipe(recipe: str, suites: Collection[str]) -> tuple[str, dict[str, list[Layer]]]:
    """A recipe's name and its layers for each of these benchmarks, the lowest first.

    ``sound`` is the lowest layer of every recipe. A file has a key for each benchmark, and under
    it what differs; a benchmark that it does not name stays as it is in ``sound``.

    Args:
        recipe: Name of one of :data:`SHIPPED`, or the path of a YAML file.
        suites: Names of the benchmarks that are needed.

    Raises:
        ConfigurationError: No such recipe; a file that is not one.
    """
    base = _shipped("sound")
    if recipe == "sound":
        return recipe, {suite: [base[suite]] for suite in suites}
    if recipe in SHIPPED:
        name, content = recipe, _shipped(recipe)
    else:
        check = f"give one of {', '.join(SHIPPED)}, or the path of a YAML file"
        if "\n" in recipe or not recipe:
            raise ConfigurationError(f"--recipe {recipe!r} is no name and no path: {check}")
        content = read_mapping(
            recipe, "recipe", check, f"it needs keys such as {', '.join(SUITES)}"
        )
        name = _checked_name(Path(recipe).stem, f"recipe {recipe}")
        if name in SHIPPED:
            raise ConfigurationError(
                f"recipe {recipe} has the name of a shipped one: rename the file"
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
    """Named variants of a YAML file: what each lays over the recipe.

    Raises:
        ConfigurationError: The file cannot be read, or a variant has no settings.
    """
    needs = "it needs a name for each variant, and under it what differs from the recipe"
    if "\n" in path or not path:
        raise ConfigurationError("--variants needs the path of a YAML file: give one")
    content = read_mapping(path, "variants file", "check --variants", needs)
    if not content:
        raise ConfigurationError(f"variants file {path} holds nothing: {needs}")
    for name, layer in content.items():
        _checked_name(name, f"variant {name!r} in {path}")
        if not isinstance(layer, dict):
            raise ConfigurationError(
                f"variant {name} in {path} holds a {type(layer).__name__}: give it keys such as "
                f"adaptation, model and trainer"
            )
    return content


def densities_by_class(names: Sequence[str]) -> dict[str, Layer]:
    """A variant for each class of a density; settings of that class in the recipe hold for it.

    Raises:
        ConfigurationError: No name, or one that cannot stand in a table.
    """
    if not names:
        raise ConfigurationError(
            "no density is chosen: give --densities a list such as InputDensity,CurvatureDensity"
        )
    return {
        _checked_name(name, f"density {name!r}"): {"adaptation": {"density": name}}
        for name in names
    }


def _shipped(name: str) -> Mapping[str, Layer]:
    text = (files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
    return MappingProxyType(read_mapping(text, "recipe", "", ""))


def _checked_name(name: object, what: str) -> str:
    """A name that can stand in a table and in a file's name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{what}: a name is made of letters, digits, '.', '_', '+' and '-': give another"
        )
    return name
