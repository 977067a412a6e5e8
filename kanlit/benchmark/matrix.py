"""The matrix of runs: tasks × densities × seeds with one recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import LightningModule

from kanlit.benchmark.recipes import Layer, checked_name, load_recipe
from kanlit.benchmark.results import Key
from kanlit.benchmark.tasks import CLASSES, SUITES, Task
from kanlit.errors import ConfigurationError
from kanlit.modules import ClassificationModule
from kanlit.runs.assembly import Assembly
from kanlit.runs.console import quiet_console
from kanlit.runs.isolation import preserved_settings
from kanlit.runs.settings import read_mapping

__all__ = ["Matrix", "Run", "build_matrix", "config_matrix"]

OWN = "config"  # benchmark of the user's own config, unless its data are classes
_SEEDS = (42, 43, 44)  # of such a config


@dataclass(frozen=True)
class Run:
    """The settings of one run, ready to be sent to a process.

    Attributes:
        key: Key of its row in the table.
        layers: Its settings as YAML, each layer overriding the previous ones.
        cost: Relative duration; the longest runs start first.
    """

    key: Key
    layers: tuple[str, ...]
    cost: float = 1.0

    @property
    def arguments(self) -> list[str]:
        """The settings as arguments of ``kanlit fit``."""
        return [word for layer in self.layers for word in ("--config", layer)]


@dataclass(frozen=True)
class Matrix:
    """Runs and the settings that their names refer to.

    Attributes:
        runs: All runs, longest first; runs to be compared are neighbors.
        meanings: Settings of the ``recipes`` and ``densities``, by name. They must not change
            while rows are added to a table.
    """

    runs: tuple[Run, ...]
    meanings: Mapping[str, Mapping[str, Any]]


def build_matrix(
    tasks: Sequence[Task],
    densities: Mapping[str, Layer],
    recipe: str = "sound",
    seeds: Sequence[int] | None = None,
    records: bool = False,
) -> Matrix:
    """Builds all runs of a matrix and checks the settings of each density on each benchmark.

    Args:
        tasks: Tasks to train.
        densities: Settings of each density, by name; they override those of the recipe.
        recipe: Name of a shipped recipe, or the path of a recipe file.
        seeds: Seeds for every task; the seeds of each benchmark if omitted.
        records: Whether runs keep logs and checkpoints, for which they validate.

    Raises:
        ConfigurationError: If a recipe cannot be read or a setting is invalid.
    """
    name, layers = load_recipe(recipe, tasks)
    runs = []
    for settings, parts in layers.items():
        own = [task for task in tasks if task.settings == settings]
        suite = own[0].suite
        stacks = {
            density: _plain([*parts, variant], own[0], f"{density}, {settings}", records)[:2]
            for density, variant in densities.items()
        }
        runs += [
            Run(
                Key(suite, task.name, density, name, seed),
                tuple(map(_text, [*stack, _own(task), {"seed_everything": seed}])),
                SUITES[suite].step_cost * epochs,
            )
            for task in own
            for seed in seeds or SUITES[suite].seeds
            for density, (stack, epochs) in stacks.items()
        ]
    # A stable sort: densities with the same task and seed run at about the same time, so that a
    # change in the machine's load affects all of them.
    runs.sort(key=lambda run: -run.cost)
    return Matrix(tuple(runs), {"recipes": {name: layers}, "densities": dict(densities)})


def config_matrix(
    path: str,
    variants: Mapping[str, Layer],
    seeds: Sequence[int] | None = None,
    records: bool = False,
) -> Matrix:
    """Builds all runs of the user's own config, a task that is named like the file.

    Args:
        path: A config of ``kanlit fit``.
        variants: Settings of each variant, by name; they override those of the config.
        seeds: 42 to 44 if omitted.
        records: Whether runs keep logs and checkpoints, for which they validate.

    Raises:
        ConfigurationError: If the config cannot be read or a setting is invalid.
    """
    own = read_mapping(path, "config", "check its path", "it needs the keys of kanlit fit")
    own = {key: value for key, value in own.items() if key not in ("ckpt_path", "seed_everything")}
    name = checked_name(Path(path).stem, f"config {path}")
    runs = []
    for variant, settings in variants.items():
        stack, epochs, model = _plain([own, settings], None, f"{variant}, {path}", records)
        suite = CLASSES if isinstance(model, ClassificationModule) else OWN
        runs += [
            Run(
                Key(suite, name, variant, name, seed),
                tuple(map(_text, [*stack, {"seed_everything": seed}])),
                epochs,
            )
            for seed in seeds or _SEEDS
        ]
    return Matrix(tuple(runs), {"recipes": {name: {OWN: [own]}}, "densities": dict(variants)})


def _plain(
    stack: Sequence[Layer], task: Task | None, what: str, records: bool
) -> tuple[list[Layer], int, LightningModule]:
    """The layers of a run, without validation if it is not needed, its epochs and its module."""
    bottom: dict[str, Any] = {"trainer": {"enable_progress_bar": False}}
    layers = [bottom, *stack] if task is None else [bottom, *stack, _own(task)]
    words = [word for layer in layers for word in ("--config", _text(layer))]
    try:
        with preserved_settings(), quiet_console():
            made = Assembly(words, run=False, records=False)
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}: {error}") from None
    config = made.config.as_dict()
    del config["checkpoint"]
    if not records and not _watches_validation(config):
        bottom["trainer"]["limit_val_batches"] = 0
    epochs = max(int(config["trainer"]["max_epochs"] or 1), 1)
    return [bottom, *stack], epochs, made.model


def _own(task: Task) -> Layer:
    return {"data": {"init_args": dict(task.data)}}


def _watches_validation(config: Any) -> bool:
    """Whether a scheduler or a callback monitors a validation metric."""
    if isinstance(config, Mapping):
        monitor = config.get("monitor")
        if isinstance(monitor, str) and monitor.startswith("val/"):
            return True
        return any(map(_watches_validation, config.values()))
    return isinstance(config, list) and any(map(_watches_validation, config))


def _text(layer: Layer) -> str:
    return yaml.safe_dump(dict(layer), sort_keys=False)
