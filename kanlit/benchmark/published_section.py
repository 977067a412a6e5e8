"""The section of a report that compares with the published results."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kanlit.benchmark.comparison import Summary, in_order, of_suite, suites
from kanlit.benchmark.markdown import NONE, number, percent, table, wins_ties_losses
from kanlit.benchmark.published import (
    FACTOR,
    PublishedSuite,
    gains,
    published_equations,
    published_suites,
    standing,
)
from kanlit.benchmark.statistics import Comparison

__all__ = ["equations_beside_published", "published_section"]

_SOURCES = {"paper": "paper", "rerun": "CPU"}


def published_section(
    medians: pd.DataFrame,
    beside: pd.DataFrame,
    found: Sequence[Summary],
    densities: Sequence[str],
    published: pd.DataFrame,
) -> list[str]:
    """Compares the results with the published ones; no lines if no task is published.

    Args:
        medians: Result of ``median_table``.
        beside: Result of ``beside_published``.
        found: Comparison of each density with the baseline.
        densities: Names of all densities.
        published: Result of ``published_medians``.
    """
    standings = [(name, standing(medians, name, published)) for name in densities]
    if not any(place for _, place in standings):
        return []
    lines = ["### Comparison with the published results", ""]
    lines += ["From arXiv 2601.18672; *CPU*: the published code, run again on a CPU.", ""]
    lines += _averages(suites(medians), found, published)
    for name, place in standings:
        if place is not None:
            lines.append(
                f"- `{name}`: not above the better published median on **{place.at_or_under} of "
                f"{place.tasks}** tasks; better published median / ours: median "
                f"{number(place.median_gain)}, geometric mean {number(place.mean_gain)}, lowest "
                f"{number(place.worst_gain)}; at least 10 on {place.tenfold} tasks."
            )
    if beside.empty:
        lines += ["", *_gains(medians, densities, published)]
    else:
        lines += [_reproduced(beside), ""]
    for suite in suites(beside) if not beside.empty else ():
        lines += [f"{suite.capitalize()}, median relative L2 errors:", ""]
        lines += _medians(of_suite(suite, beside))
    return lines


def equations_beside_published(medians: pd.DataFrame, densities: Sequence[str]) -> list[str]:
    """Medians on the equations beside what others publish; no lines if no equation was run.

    Args:
        medians: Result of ``median_table``.
        densities: Names of all densities.
    """
    own = of_suite("equations", medians)
    quoted = published_equations().set_index("task").fillna("")
    found = {(r["task"], r["density"]): number(r["median"]) for r in own.to_dict("records")}
    rows = [
        [
            task,
            *(found.get((task, density), NONE) for density in densities),
            *(quoted.loc[task, ["first", "highest"]] if task in quoted.index else (NONE, NONE)),
        ]
        for task in in_order(own["task"])
    ]
    if not rows:
        return []
    header = ["task", *(f"`{density}`" for density in densities), "published", "best known"]
    words = (
        "Median relative L2 errors beside figures of others. These are quoted second-hand, from "
        "repositories and papers; networks, points and hardware differ."
    )
    return [words, "", *table(header, rows)]


def _averages(
    measured: Sequence[str], found: Sequence[Summary], published: pd.DataFrame
) -> list[str]:
    """The published averages of each suite, followed by ours."""
    theirs = published_suites(published)
    rows = []
    for suite in measured:
        rows += [
            _average(suite, f"{_SOURCES[of.source]}: curvature vs. input", of)
            for of in theirs
            if of.suite == suite
        ]
        rows += [
            _average(suite, f"`{summary.density}`", summary.comparison)
            for summary in found
            if summary.suite == suite
        ]
    outcomes = ["wins / ties / losses", "p, log ratios", "p, medians"]
    return table(
        ["suite", "density", "tasks", "average reduction", "error ratio", *outcomes], rows, words=2
    )


def _average(suite: str, words: str, of: PublishedSuite | Comparison) -> list[str]:
    return [
        suite,
        words,
        str(of.tasks),
        percent(of.reduction),
        number(of.ratio),
        wins_ties_losses(of.outcomes),
        number(of.p_log_ratios),
        number(of.p_medians),
    ]


def _gains(medians: pd.DataFrame, densities: Sequence[str], published: pd.DataFrame) -> list[str]:
    """The median of every task and the better published one."""
    rows = pd.concat([gains(medians, name, published) for name in densities])
    found = {(r["benchmark"], r["task"], r["density"]): r for r in rows.to_dict("records")}
    better = {(r["benchmark"], r["task"]): r["paper"] for r in rows.to_dict("records")}
    header = ["suite", "task", "better published median"]
    for name in densities:
        header += [f"`{name}`", "published / ours"]
    cells = []
    for suite, task in better:
        cells.append([suite, task, number(better[suite, task])])
        for name in densities:
            own = found.get((suite, task, name))
            cells[-1] += (
                [NONE, NONE] if own is None else [number(own["median"]), number(own["gain"])]
            )
    return table(header, cells, words=2)


def _medians(beside: pd.DataFrame) -> list[str]:
    """The medians of one suite, one row per task."""
    rerun = bool(beside["rerun"].notna().any())
    columns = ["median", "paper", "ratio", *(["rerun"] if rerun else [])]
    rows = {(row["task"], row["density"]): row for row in beside.to_dict("records")}
    densities = list(dict.fromkeys(beside["density"]))
    header = ["task"]
    for density in densities:
        header += [density, "paper", "ours / paper", *(["CPU"] if rerun else [])]
    cells = [
        [
            task,
            *(
                number(rows[task, density][column]) if (task, density) in rows else NONE
                for density in densities
                for column in columns
            ),
        ]
        for task in in_order(beside["task"])
    ]
    return table(header, cells)


def _reproduced(beside: pd.DataFrame) -> str:
    """How many medians are close to a published one, and which are not."""
    out = beside[~beside["within"]]
    line = (
        f"- Within a factor of {FACTOR:g} of the closer published median: "
        f"**{len(beside) - len(out)} of {len(beside)}** medians"
    )
    for words, part in (("lower", out[out["ratio"] < 1]), ("higher", out[out["ratio"] >= 1])):
        names = [f"{r['benchmark']} {r['task']} `{r['density']}`" for r in part.to_dict("records")]
        if names:
            line += f"; {words}: {', '.join(names)}"
    return line + "."
