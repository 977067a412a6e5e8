"""Recipes (how runs are trained) and variants (what is compared): layers of settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kanlit.benchmark.tasks import SUITES, Task
from kanlit.errors import ConfigurationError
from kanlit.runs.settings import read_mapping

__all__ = ["SHIPPED", "Layer", "checked_name", "densities_by_class", "load_recipe", "load_variants"]

Layer = Mapping[str, Any]
"""Nested settings under kanlit's keys; a layer overrides the layers below it."""

SHIPPED = ("sound", "paper", "best", "fast")
_NAME = re.compile(r"[\w.+-]+")


def load_recipe(recipe: str, tasks: Sequence[Task]) -> tuple[str, dict[str, list[Layer]]]:
    """Loads a recipe: its name, and the layers of each task's settings, lowest first.

    ``sound`` is the lowest layer of every recipe. A recipe file has a key per benchmark with
    the settings that differ from ``sound``; other benchmarks are those of ``sound``. In ``best``,
    the settings of an equation are its config in ``configs/equations``.

    Args:
        recipe: Name of one of :data:`SHIPPED`, or the path of a YAML file.
        tasks: Tasks to load settings for.

    Raises:
        ConfigurationError: If there is no such recipe or the file is invalid.
    """
    name, contents = recipe, [_shipped("sound")]
    if recipe in SHIPPED:
        contents += [] if recipe == "sound" else [_shipped(recipe)]
    else:
        name, content = _own_recipe(recipe)
        contents.append(content)
    return name, {
        task.settings: [layer for content in contents for layer in _layers(content, task)]
        for task in tasks
    }


def _layers(content: Mapping[str, Layer], task: Task) -> list[Layer]:
    """The layers of a task in the content of a recipe, lowest first."""
    own = content.get(f"{task.suite}/{task.own}") or content.get(task.like)
    return [layer for layer in (content.get(task.suite), own) if layer]


def _own_recipe(recipe: str) -> tuple[str, Mapping[str, Layer]]:
    check = f"give one of {', '.join(SHIPPED)}, or the path of a YAML file"
    if "\n" in recipe or not recipe:
        raise ConfigurationError(f"recipe {recipe!r} is neither a name nor a path: {check}")
    content = read_mapping(recipe, "recipe", check, f"it needs keys such as {', '.join(SUITES)}")
    name = checked_name(Path(recipe).stem, f"recipe {recipe}")
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
    return name, content


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
        checked_name(name, f"variant {name!r} in {path}")
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
        checked_name(name, f"density {name!r}"): {"adaptation": {"density": name}} for name in names
    }


@cache
def _shipped(name: str) -> Mapping[str, Layer]:
    """A shipped recipe by benchmark, and by ``equations/NAME`` for equations with their own."""
    home = files(__name__)
    content = _read(home / f"{name}.yaml")
    if name == "best":
        content |= {
            f"equations/{each.name.removesuffix('.yaml')}": _read(each)
            for each in (home / "equations").iterdir()
            if each.name.endswith(".yaml")
        }
    return MappingProxyType(content)


def _read(file: Traversable) -> dict[str, Layer]:
    return read_mapping(file.read_text(encoding="utf-8"), "recipe", "", "")


def checked_name(name: object, what: str) -> str:
    """Checks that a name can be used in tables and file names."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{what}: a name has only letters, digits, '.', '_', '+' and '-': give another"
        )
    return name
