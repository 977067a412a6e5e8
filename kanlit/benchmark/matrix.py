"""The matrix of runs: tasks times densities times seeds under one recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from kanlit.benchmark.isolation import set_back
from kanlit.benchmark.recipes import Layer, load_recipe
from kanlit.benchmark.results import Key
from kanlit.benchmark.tasks import SUITES, Task
from kanlit.errors import ConfigurationError
from kanlit.runs.assembly import Assembly
from kanlit.runs.console import quiet_console

__all__ = ["Matrix", "Run", "build_matrix"]


@dataclass(frozen=True)
class Run:
    """One training, ready to be sent to a process.

    Attributes:
        key: Its place in the table.
        layers: YAML of its settings under kanlit's keys, the lowest layer first.
        cost: How long it takes beside others; tells which to begin with.
    """

    key: Key
    layers: tuple[str, ...]
    cost: float = 1.0

    @property
    def arguments(self) -> list[str]:
        """Its settings as words of ``kanlit fit``."""
        return [word for layer in self.layers for word in ("--config", layer)]


@dataclass(frozen=True)
class Matrix:
    """Runs, the longest first, and what their names stand for.

    Attributes:
        runs: All of them; those that are to be compared follow each other.
        meanings: The settings behind ``recipes`` and ``densities``, by name. They must not
            change while a table is added to.
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
    """All runs of a matrix. Each density is set up once on each benchmark, to see that it can be.

    Args:
        tasks: Problems.
        densities: By name, what each lays over the recipe.
        recipe: Name of a shipped recipe, or the path of one.
        seeds: Of every task; left out, the published ones of its benchmark.
        records: Whether runs keep logs and checkpoints, and validate for them.

    Raises:
        ConfigurationError: A recipe that cannot be read, a setting that kanlit does not take.
    """
    suites = list(dict.fromkeys(task.suite for task in tasks))
    name, layers = load_recipe(recipe, suites)
    runs = []
    for suite in suites:
        own = [task for task in tasks if task.suite == suite]
        stacks = {
            density: _plain([*layers[suite], variant], own[0], f"{density}, {suite}", records)
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
    # The order among equals stays: densities on one task and seed meet the same machine.
    runs.sort(key=lambda run: -run.cost)
    return Matrix(tuple(runs), {"recipes": {name: layers}, "densities": dict(densities)})


def _plain(stack: Sequence[Layer], task: Task, what: str, records: bool) -> tuple[list[Layer], int]:
    """Layers of a run without what it does not need, and its number of epochs."""
    bottom: dict[str, Any] = {"trainer": {"enable_progress_bar": False}}
    words = [w for layer in (bottom, *stack, _own(task)) for w in ("--config", _text(layer))]
    try:
        with set_back(), quiet_console():
            config = Assembly(words, run=False, records=False).config.as_dict()
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}: {error}") from None
    del config["checkpoint"]
    if not records and not _watches_validation(config):
        bottom["trainer"]["limit_val_batches"] = 0
    return [bottom, *stack], max(int(config["trainer"]["max_epochs"] or 1), 1)


def _own(task: Task) -> Layer:
    return {"data": {"init_args": dict(task.data)}}


def _watches_validation(config: Any) -> bool:
    """Whether a scheduler or a callback goes by a metric of the validation."""
    if isinstance(config, Mapping):
        monitor = config.get("monitor")
        if isinstance(monitor, str) and monitor.startswith("val/"):
            return True
        return any(map(_watches_validation, config.values()))
    return isinstance(config, list) and any(map(_watches_validation, config))


def _text(layer: Layer) -> str:
    return yaml.safe_dump(dict(layer), sort_keys=False)
