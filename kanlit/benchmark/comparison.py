"""Tables of a benchmark: medians per task, and comparisons of densities with a baseline.

A table of runs holds the rows of ``results.csv`` for one recipe: ``benchmark, task, density, seed,
wall_s, adapt_s`` and others, one row per run. Densities are compared by its column ``criterion``,
the relative L2 error, or the cross-entropy of classes; it is infinite for failed runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kanlit.benchmark.statistics import (
    Array,
    Comparison,
    Interval,
    Outcomes,
    compare,
    outcomes,
    reduction_intervals,
    relative_reduction,
)
from kanlit.benchmark.tasks import CLASSES, SUITES

__all__ = [
    "ALL",
    "METRICS",
    "Summary",
    "best_densities",
    "complete_medians",
    "criterion",
    "errors_by_task",
    "in_order",
    "median_table",
    "named_like",
    "of_suite",
    "pair_table",
    "suites",
    "summaries",
]

ALL = "all"  # all suites together
_KEY = ["benchmark", "task", "density"]
METRICS = ("accuracy", "calibration_error")  # of classes, beside their cross-entropy
_ORDER = list(SUITES)  # order of the paper
Task = tuple[str, str]  # benchmark, task


@dataclass(frozen=True)
class Summary:
    """Comparison of a density with the baseline on one suite or on all.

    Attributes:
        density: Name of the density.
        suite: Name of the suite, or :data:`ALL`.
        comparison: Statistics of the errors.
        overhead: Median over tasks of the density's median wall time relative to that of the
            baseline, minus 1.
        adaptation_share: Fraction of the wall time spent on adaptations, over all runs of the
            density.
        left_out: Tasks with an infinite median. They count as won or lost but not in the averages.
    """

    density: str
    suite: str
    comparison: Comparison
    overhead: float
    adaptation_share: float
    left_out: tuple[str, ...]

    def row(self) -> dict[str, str | int | float]:
        """All values under flat names, as one row of a table."""
        row: dict[str, str | int | float] = {"density": self.density, "suite": self.suite}
        for name, value in vars(self.comparison).items():
            if isinstance(value, Interval):
                row |= {f"{name}_low": value.low, f"{name}_high": value.high}
            elif isinstance(value, Outcomes):
                row |= vars(value)
            else:
                row[name] = value
        return row | {"overhead": self.overhead, "adaptation_share": self.adaptation_share}


def in_order(names: Iterable[str]) -> list[str]:
    """Sorts names without repeats: suites as in the paper, other names in natural order."""

    def place(name: str) -> tuple[int, list[tuple[int, int, str]]]:
        parts = re.findall(r"\d+|\D+", name)
        natural = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]
        return (_ORDER.index(name) if name in _ORDER else len(_ORDER)), natural

    return sorted(set(names), key=place)


def suites(runs: pd.DataFrame) -> list[str]:
    """Names of the suites in a table of runs."""
    return in_order(runs["benchmark"])


def criterion(suite: str) -> str:
    """What the densities are compared by."""
    return "cross-entropy" if suite == CLASSES else "relative L2 error"


def of_suite(suite: str, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of one suite."""
    return table[table["benchmark"] == suite]


def named_like(densities: Sequence[str], word: str) -> str | None:
    """Finds a density by a word: ``input`` matches ``InputDensity``.

    Returns:
        The only name that equals the word (without "density"), or else the only name that
        contains it; ``None`` if there is no such name or more than one.
    """
    bare = {name: re.sub(r"[^a-z0-9]|density", "", name.lower()) for name in densities}
    for hits in (
        [name for name in densities if bare[name] == word],
        [name for name in densities if word in bare[name]],
    ):
        if len(hits) == 1:
            return hits[0]
    return None


def errors_by_task(runs: pd.DataFrame, density: str) -> dict[Task, Array]:
    """Errors ``(seeds,)`` of the density on each of its tasks, in order."""
    own = runs[runs["density"] == density]
    groups = {
        (str(benchmark), str(task)): rows.sort_values("seed")["criterion"].to_numpy(np.float64)
        for (benchmark, task), rows in own.groupby(["benchmark", "task"])
    }
    return {
        (suite, task): groups[suite, task]
        for suite in in_order(suite for suite, _ in groups)
        for task in in_order(task for of, task in groups if of == suite)
    }


def median_table(runs: pd.DataFrame, densities: Sequence[str]) -> pd.DataFrame:
    """Statistics over the seeds, one row per task and density, in order.

    Columns: ``benchmark, task, density, seeds, failed, median, lowest, highest, wall_s,
    adaptation_share, accuracy, calibration_error``. Failed runs count in the median, the highest
    error and the number of seeds. Times and the metrics of classes are medians over the successful
    runs.
    """
    own = runs[runs["density"].isin(list(densities))]
    table = own.groupby(_KEY)["criterion"].agg(
        seeds="size",
        failed=lambda errors: int(np.isinf(errors).sum()),
        median="median",
        lowest="min",
        highest="max",
    )
    timed = own[np.isfinite(own["criterion"])]
    times = timed.assign(share=timed["adapt_s"] / timed["wall_s"]).groupby(_KEY)
    table["wall_s"], table["adaptation_share"] = times["wall_s"].median(), times["share"].median()
    for name in METRICS:
        table[name] = times[name].median()
    orders = [suites(own), in_order(own["task"]), list(densities)]
    ranks = {name: order.index for name, order in zip(_KEY, orders, strict=True)}
    rows = table.reset_index()
    return rows.sort_values(_KEY, key=lambda c: c.map(ranks[str(c.name)]), ignore_index=True)


def pair_table(runs: pd.DataFrame, baseline: str, density: str) -> pd.DataFrame:
    """Comparison with the baseline, one row per task that both densities have, in order.

    Columns: ``benchmark, task, density``; ``reduction, reduction_low, reduction_high``, the
    relative error reduction of the medians with its interval (seeds resampled); ``outcome``,
    ``win``, ``tie`` or ``loss`` of the density; ``overhead``, its median wall time relative to
    that of the baseline, minus 1.
    """
    b, d, tasks = _paired(runs, baseline, density, ALL)
    intervals = reduction_intervals(b, d)
    times = _overheads(runs, baseline, density)
    rows = []
    for (suite, task), base, errors, interval in zip(tasks, b, d, intervals, strict=True):
        medians = float(np.median(base)), float(np.median(errors))
        result = outcomes(*medians)
        rows.append(
            {
                "benchmark": suite,
                "task": task,
                "density": density,
                "reduction": float(relative_reduction(*medians)),
                "reduction_low": interval.low,
                "reduction_high": interval.high,
                "outcome": "win" if result.wins else "loss" if result.losses else "tie",
                "overhead": times.get((suite, task), float("nan")),
            }
        )
    return pd.DataFrame(rows)


def summaries(runs: pd.DataFrame, baseline: str, against: Sequence[str]) -> list[Summary]:
    """Compares each density with the baseline, per suite and, with several suites, over all."""
    found = suites(runs)
    scopes = [*found, ALL] if len(found) > 1 else found
    result = []
    for density in against:
        times = _overheads(runs, baseline, density)
        for suite in scopes:
            b, d, tasks = _paired(runs, baseline, density, suite)
            if not tasks:
                continue
            own = runs[(runs["density"] == density) & np.isfinite(runs["criterion"])]
            own = own if suite == ALL else own[own["benchmark"] == suite]
            overheads = [times[task] for task in tasks if task in times]
            lost = [
                task if suite != ALL else f"{of} {task}"
                for (of, task), one, other in zip(tasks, b, d, strict=True)
                if not np.isfinite([np.median(one), np.median(other)]).all()
            ]
            spent = float(own["wall_s"].sum())
            result.append(
                Summary(
                    density=density,
                    suite=suite,
                    comparison=compare(b, d),
                    overhead=float(np.median(overheads)) if overheads else float("nan"),
                    adaptation_share=float(own["adapt_s"].sum()) / spent if spent else np.nan,
                    left_out=tuple(lost),
                )
            )
    return result


def complete_medians(medians: pd.DataFrame, densities: Sequence[str]) -> pd.DataFrame:
    """Medians as a table ``(tasks, densities)`` of the tasks that all densities have."""
    table = medians.pivot(index=["benchmark", "task"], columns="density", values="median")
    return table.reindex(columns=list(densities)).dropna()


def best_densities(medians: pd.DataFrame) -> dict[Task, list[str]]:
    """The density with the lowest median on each task, and the densities that tie with it."""
    best = {}
    for (suite, task), rows in medians.groupby(["benchmark", "task"]):
        values = rows["median"].to_numpy(np.float64)
        lowest = values.min()
        names = rows["density"].tolist()
        best[str(suite), str(task)] = [
            name
            for name, value in zip(names, values, strict=True)
            if np.isfinite(value) and outcomes(lowest, value).losses == 0
        ]
    return best


def _paired(
    runs: pd.DataFrame, baseline: str, density: str, suite: str
) -> tuple[list[Array], list[Array], list[Task]]:
    b, d = errors_by_task(runs, baseline), errors_by_task(runs, density)
    tasks = [task for task in b if task in d and suite in (ALL, task[0])]
    return [b[task] for task in tasks], [d[task] for task in tasks], tasks


def _overheads(runs: pd.DataFrame, baseline: str, density: str) -> dict[Task, float]:
    """Median wall time / that of the baseline, minus 1, per task with successful runs of both."""
    timed = runs[np.isfinite(runs["criterion"])]
    wall = timed.groupby(_KEY)["wall_s"].median().unstack("density")
    if baseline not in wall or density not in wall:
        return {}
    ratio = (wall[density] / wall[baseline] - 1.0).dropna()
    return {(str(suite), str(task)): float(value) for (suite, task), value in ratio.items()}
