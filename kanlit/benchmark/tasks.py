"""Tasks of the three benchmarks, their seeds and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kanlit.errors import ConfigurationError
from kanlit.hints import near
from kanlit.problems import FEYNMAN, SYNTHETIC

__all__ = ["SUITES", "TASKS", "Suite", "Task", "choose_tasks"]


@dataclass(frozen=True)
class Task:
    """A task of a benchmark.

    Attributes:
        suite: Name of its benchmark.
        name: Name in the published table: ``f1``, ``(1,2)``.
        word: Name on the command line, unique over all benchmarks: ``f1``, ``feynman1``,
            ``helmholtz12``.
        data: Settings of the data class for this task.
    """

    suite: str
    name: str
    word: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Suite:
    """A benchmark.

    Attributes:
        tasks: Tasks in the order of the paper.
        seeds: Seeds of the published runs.
        step_cost: Time of a training step relative to that of a synthetic task.
    """

    tasks: tuple[Task, ...]
    seeds: tuple[int, ...]
    step_cost: float


_PAIRS = ((1, 1), (1, 2), (2, 2), (2, 4))  # (a1, a2)

SUITES: Mapping[str, Suite] = MappingProxyType(
    {
        "synthetic": Suite(
            tuple(
                Task("synthetic", name, name, {"function": name})
                for name in SYNTHETIC
                if name != "gaussian"  # an illustration, not part of the benchmark
            ),
            seeds=(42, 43, 44, 45, 46),
            step_cost=1.0,
        ),
        "feynman": Suite(
            tuple(
                Task("feynman", f"f{number}", f"feynman{number}", {"equation": number})
                for number in FEYNMAN
            ),
            seeds=(44, 45, 46),
            step_cost=1.0,
        ),
        "helmholtz": Suite(
            tuple(
                Task("helmholtz", f"({a1},{a2})", f"helmholtz{a1}{a2}", {"a1": a1, "a2": a2})
                for a1, a2 in _PAIRS
            ),
            seeds=(3, 5, 9),
            step_cost=3.0,
        ),
    }
)
"""Benchmarks by name. Source: arXiv 2601.18672."""

TASKS: Mapping[str, Task] = MappingProxyType(
    {task.word: task for suite in SUITES.values() for task in suite.tasks}
)
"""All tasks by their name on the command line."""


def choose_tasks(suite: str = "all", words: Sequence[str] | None = None) -> list[Task]:
    """Selects the tasks of a benchmark, or of all, by their names on the command line.

    Args:
        suite: Name of a benchmark, or ``all``.
        words: Names of tasks; all if omitted.

    Raises:
        ConfigurationError: If a name is unknown or no task is left.
    """
    if suite != "all" and suite not in SUITES:
        raise ConfigurationError(
            f"unknown suite {suite!r}: {near(suite, SUITES)}choose from {', '.join(SUITES)}, all"
        )
    for word in words or ():
        if word not in TASKS:
            raise ConfigurationError(
                f"unknown task {word!r}: {near(word, TASKS)}choose from {', '.join(TASKS)}"
            )
    wanted = TASKS if words is None else dict.fromkeys(words)
    chosen = [TASKS[word] for word in wanted if suite in ("all", TASKS[word].suite)]
    if not chosen:
        among = f" of the suite {suite}" if wanted else ""
        raise ConfigurationError(
            f"no task{among} is selected: give some, such as f2,feynman9,helmholtz12, or none for "
            f"all"
        )
    return chosen
