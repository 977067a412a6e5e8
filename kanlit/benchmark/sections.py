"""Sections of a report in Markdown: errors, comparisons, times and failed runs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kanlit.benchmark.comparison import (
    METRICS,
    Summary,
    best_densities,
    complete_medians,
    criterion,
    in_order,
    of_suite,
)
from kanlit.benchmark.markdown import (
    NONE,
    cell,
    number,
    numbers,
    percent,
    percents,
    share,
    table,
    wins_ties_losses,
)
from kanlit.benchmark.statistics import LEVEL, RESAMPLES, TIE, Interval

__all__ = [
    "class_section",
    "error_section",
    "failure_section",
    "missing_tasks",
    "notes",
    "summary_section",
    "time_section",
]

_MOST_FAILURES = 20
_MOST_WIDE = 3  # with more densities, a table shows only the medians

_ON_ERRORS = """\
- Each task is represented by its median over the seeds. A failed run counts as an infinite error.
"""
_ON_COMPARISONS = """\
- Relative error reduction: (baseline - density) / baseline of the medians. Its average is not
  robust: a task can gain at most 100 % but lose without bound, and variation between seeds lowers
  it. The error ratio, the geometric mean of density / baseline, is robust; its interval is that
  of seeds and tasks.
- Intervals: {level:.0f} % percentile bootstrap, {resamples:,} draws, fixed seed. *Seeds*: seeds are
  resampled within each task and density; the interval holds for these tasks. *Seeds and tasks*:
  tasks are resampled, too; it holds for similar tasks. With three seeds or four tasks, intervals
  are rough. Draws and averages leave out tasks with an infinite median.
- Medians within {tie:.0f} % of each other count as a tie.
- p: one-sided Wilcoxon signed-rank test over the tasks that the error of the density is lower: for
  the logarithms of the ratios, which weight all tasks equally, and for the differences of the
  medians, as in the paper. With four tasks, p is at least 0.0625.
- Added time: median over the tasks of density / baseline of the median wall times, minus 1.
  Adaptation: fraction of the wall time spent on adaptations, over all runs of the density.
"""


def summary_section(found: Sequence[Summary], baseline: str) -> list[str]:
    """Averages per suite with intervals, followed by wins, p-values and times."""
    level = f"{100 * LEVEL:.0f} %"
    averages, results, left_out = [], [], []
    for s in found:
        c = s.comparison
        averages.append(
            [
                s.density,
                s.suite,
                str(c.tasks) if c.finite == c.tasks else f"{c.finite} of {c.tasks}",
                f"**{percent(c.reduction)}**",
                percents(c.reduction_seeds),
                percents(c.reduction_tasks),
                f"{number(c.ratio)} {numbers(c.ratio_tasks)}",
            ]
        )
        results.append(
            [
                s.density,
                s.suite,
                wins_ties_losses(c.outcomes),
                number(c.p_log_ratios),
                number(c.p_medians),
                percent(s.overhead),
                share(s.adaptation_share),
            ]
        )
        if s.left_out:
            words = (
                f"`{s.density}` on {s.suite}: {', '.join(s.left_out)} left out of the averages "
                "because a median is infinite; counted in wins, losses and p."
            )
            left_out += [words, ""]
    reductions = ["average reduction", f"{level}, seeds", f"{level}, seeds and tasks"]
    times = ["added time", "adaptation"]
    return [
        f"Relative error reduction and error ratio, compared with `{baseline}`:",
        "",
        *table(
            ["density", "suite", "tasks", *reductions, f"error ratio [{level}]"], averages, words=2
        ),
        *table(
            ["density", "suite", "wins / ties / losses", "p, log ratios", "p, medians", *times],
            results,
            words=2,
        ),
        *left_out,
    ]


def error_section(
    suite: str, medians: pd.DataFrame, pairs: pd.DataFrame, densities: Sequence[str]
) -> list[str]:
    """Medians of each task and their reductions."""
    own = _by_task(suite, medians)
    best = best_densities(medians)
    compared = _by_task(suite, pairs)
    against = [name for name in densities if any(name == density for _, density in compared)]
    inline, wide = len(against) == 1, len(densities) > _MOST_WIDE
    rows, reductions = [], []
    for task in in_order(task for task, _ in own):
        have = {d: own[task, d] for d in densities if (task, d) in own}
        counts = [str(int(row["seeds"])) for row in have.values()]
        cells = [task, counts[0] if len(set(counts)) == 1 else ", ".join(counts)]
        cells += [_median(have[d], wide) if d in have else NONE for d in densities]
        changes = [
            _reduction(compared[task, d]) if (task, d) in compared else NONE for d in against
        ]
        if inline:
            cells += changes
        if len(densities) > 1:
            winners = best[suite, task]
            tie = len(winners) > 1 and len(winners) == len(have)
            cells.append("tie" if tie else ", ".join(winners) or NONE)
        rows.append(cells)
        reductions.append([task, *changes])
    ends = "" if wide else " (lowest … highest)"
    header = ["task", "seeds", *(f"{name}{ends}" for name in densities)]
    header += [f"reduction [{100 * LEVEL:.0f} %]"] if inline else []
    header += ["better" if len(densities) == 2 else "best"] if len(densities) > 1 else []
    more = " (lowest and highest in `medians.csv`)" if wide else ""
    lines = [f"Median {criterion(suite)} over the seeds{more}:", "", *table(header, rows)]
    if len(against) > 1:
        lines += [f"Relative error reduction [{100 * LEVEL:.0f} %, seeds]:", ""]
        lines += table(["task", *against], reductions)
    return lines


def class_section(suite: str, medians: pd.DataFrame, densities: Sequence[str]) -> list[str]:
    """Accuracy and calibration of each task."""
    own = _by_task(suite, medians)
    rows = [
        [task, density, *(number(own[task, density][name]) for name in METRICS)]
        for task in in_order(task for task, _ in own)
        for density in densities
        if (task, density) in own
    ]
    header = ["task", "density", *(name.replace("_", " ") for name in METRICS)]
    return ["Medians over the seeds of successful runs:", "", *table(header, rows, words=2)]


def time_section(
    suite: str, medians: pd.DataFrame, pairs: pd.DataFrame, densities: Sequence[str]
) -> list[str]:
    """Wall time of each task, added time over the baseline, and fraction spent on adaptations."""
    own, compared = _by_task(suite, medians), _by_task(suite, pairs)
    wide = len(densities) > _MOST_WIDE
    rows = []
    for task in in_order(task for task, _ in own):
        cells = [task]
        for density in densities:
            row = own.get((task, density), {"wall_s": math.nan, "adaptation_share": math.nan})
            more = compared.get((task, density), {"overhead": math.nan})["overhead"]
            words = "" if math.isnan(more) else f" ({percent(more)})"
            cells.append(number(row["wall_s"]) + words)
            if not wide:
                cells.append(share(row["adaptation_share"]))
        rows.append(cells)
    header = ["task"]
    for density in densities:
        header += [f"{density}, s", *([] if wide else ["adaptation"])]
    where = " (in `medians.csv`)" if wide else ""
    return [
        f"Median seconds per run, added time over the baseline, fraction of adaptation{where}:",
        "",
        *table(header, rows),
    ]


def failure_section(failures: pd.DataFrame) -> list[str]:
    """Table of the failed runs."""
    if failures.empty:
        return []
    rows = [
        [
            *(str(row[name]) for name in ("benchmark", "task", "density", "seed")),
            cell(row["error"]) or "the error is not finite",
        ]
        for row in failures.head(_MOST_FAILURES).to_dict("records")
    ]
    more = len(failures) - len(rows)
    lines = [f"### Failed runs: {len(failures)}", ""]
    words = (
        "Each counts as an infinite error below. `kanlit benchmark` with the same options repeats "
        "them."
    )
    lines += [words, ""]
    lines += table(["benchmark", "task", "density", "seed", "error"], rows, words=5)
    return [*lines, f"… and {more} more in `results.csv`.", ""] if more else lines


def notes(baseline: str | None) -> list[str]:
    """Explanation of the numbers."""
    text = _ON_ERRORS if baseline is None else _ON_ERRORS + _ON_COMPARISONS
    lines = text.format(level=100 * LEVEL, resamples=RESAMPLES, tie=100 * TIE).splitlines()
    return ["## How to read this", "", *lines, ""]


def missing_tasks(medians: pd.DataFrame, densities: Sequence[str]) -> list[str]:
    """Notes on tasks that lack a density or have different numbers of seeds."""
    counts = medians.pivot(index=["benchmark", "task"], columns="density", values="seeds")
    counts = counts.reindex(columns=list(densities))
    lines = []
    absent = len(counts) - len(complete_medians(medians, densities))
    if absent:
        words = (
            f"Tasks that were not run with every density: {absent}; each comparison uses the tasks "
            "of both densities."
        )
        lines += [words, ""]
    filled = counts.to_numpy(np.float64)
    uneven = int((np.nanmax(filled, axis=1) != np.nanmin(filled, axis=1)).sum())
    if uneven:
        lines += [f"Tasks on which the densities have different numbers of seeds: {uneven}.", ""]
    return lines


def _by_task(suite: str, rows_of: pd.DataFrame) -> dict[tuple[str, str], dict[Hashable, Any]]:
    """Rows of a suite by task and density."""
    rows = [] if rows_of.empty else of_suite(suite, rows_of).to_dict("records")
    return {(str(row["task"]), str(row["density"])): row for row in rows}


def _reduction(row: Mapping[Hashable, Any]) -> str:
    interval = Interval(row["reduction_low"], row["reduction_high"])
    return f"{percent(row['reduction'])} {percents(interval)}"


def _median(row: Mapping[Hashable, Any], wide: bool) -> str:
    words = [] if wide else [f"{number(row['lowest'], 2)} … {number(row['highest'], 2)}"]
    words += [f"{row['failed']} failed"] if row["failed"] else []
    return number(row["median"]) + (f" ({', '.join(words)})" if words else "")
