"""Tasks of the paper's three benchmarks, of sharp functions and of equations; seeds and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kanlit.errors import ConfigurationError
from kanlit.hints import near
from kanlit.problems import FEYNMAN, SHARP, SYNTHETIC

__all__ = ["CLASSES", "PAPER", "SUITES", "TASKS", "Suite", "Task", "choose_tasks"]


@dataclass(frozen=True)
class Task:
    """A task of a benchmark.

    Attributes:
        suite: Name of its benchmark.
        name: Name in the published table: ``f1``, ``(1,2)``.
        word: Name on the command line, unique over all benchmarks: ``f1``, ``feynman1``,
            ``helmholtz12``.
        data: Settings of the data class for this task.
        own: Name of its own config, which the recipe best has for an equation; empty if it has
            none.
        like: Benchmark whose settings it has in other recipes; empty if there is none.
    """

    suite: str
    name: str
    word: str
    data: Mapping[str, Any]
    own: str = ""
    like: str = ""

    @property
    def settings(self) -> str:
        """Name of its settings: its benchmark, unless it has a config of its own."""
        return f"{self.suite} {self.name}" if self.own else self.suite


@dataclass(frozen=True)
class Suite:
    """A benchmark.

    Attributes:
        tasks: Tasks in the order of the paper.
        seeds: Seeds of the published runs; in other suites, seeds that chose no setting.
        step_cost: Time of a training step relative to that of a synthetic task.
    """

    tasks: tuple[Task, ...]
    seeds: tuple[int, ...]
    step_cost: float


_PAIRS = ((1, 1), (1, 2), (2, 2), (2, 4))  # (a1, a2)
_EQUATIONS = {
    "burgers": "Burgers",
    "allen_cahn": "AllenCahn",
    "kdv": "KdV",
    "kuramoto_sivashinsky": "KuramotoSivashinsky",
    "wave": "Wave",
    "advection": "Advection",
    "heat": "Heat",
    "sine_gordon": "SineGordon",
    "gray_scott": "GrayScott",
    "poisson": "Poisson",
    "reaction_diffusion": "ReactionDiffusion",
    "allen_cahn_front": "AllenCahnFront",
    "cavity": "Cavity",
}

_FOUR_BY_FOUR = {
    "equation": {"class_path": "kanlit.problems.Helmholtz", "init_args": {"a1": 4, "a2": 4}}
}

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
        "sharp": Suite(
            tuple(Task("sharp", name, name, {"function": name}) for name in SHARP),
            seeds=(42, 43, 44, 45, 46),
            step_cost=1.0,
        ),
        "equations": Suite(
            (
                *(
                    Task("equations", name, name, {"equation": f"kanlit.problems.{equation}"}, name)
                    for name, equation in _EQUATIONS.items()
                ),
                Task(
                    "equations",
                    "helmholtz (1,4)",
                    "helmholtz14",
                    {"a1": 1, "a2": 4},
                    "helmholtz",
                    like="helmholtz",
                ),
                Task("equations", "helmholtz (4,4)", "helmholtz44", _FOUR_BY_FOUR, "helmholtz_4_4"),
            ),
            seeds=(3, 4, 5),
            step_cost=300.0,
        ),
    }
)
"""Benchmarks by name: those of the paper, sharp functions, and kanlit's equations."""

TASKS: Mapping[str, Task] = MappingProxyType(
    {task.word: task for suite in SUITES.values() for task in suite.tasks}
)
"""All tasks by their name on the command line."""


CLASSES = "classes"
"""The benchmark of the user's own configs whose data are classes, compared by cross-entropy."""

PAPER = ("synthetic", "feynman", "helmholtz")
"""The benchmarks of arXiv 2601.18672."""


def choose_tasks(suite: str = "all", words: Sequence[str] | None = None) -> list[Task]:
    """Selects the tasks of a benchmark, or of all, by their names on the command line.

    Args:
        suite: Name of a benchmark, or ``all``.
        words: Names of tasks; if omitted, those of the benchmark, and for ``all`` those of the
            paper's three.

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
    if words is None:
        suites = PAPER if suite == "all" else (suite,)
        return [task for name in suites for task in SUITES[name].tasks]
    chosen = [TASKS[word] for word in dict.fromkeys(words) if suite in ("all", TASKS[word].suite)]
    if not chosen:
        among = f" of the suite {suite}" if words else ""
        raise ConfigurationError(
            f"no task{among} is selected: give some, such as f2,feynman9,helmholtz12, or none for "
            f"all"
        )
    return chosen
