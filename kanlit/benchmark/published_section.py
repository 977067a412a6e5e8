"""A report's section beside the paper's figures."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kanlit.benchmark.comparison import Summary, in_order, of_suite, suites
from kanlit.benchmark.markdown import NONE, number, percent, table, wins_ties_losses
from kanlit.benchmark.published import (
    FACTOR,
    PublishedSuite,
    gains,
    published_suites,
    standing,
)
from kanlit.benchmark.statistics import Comparison

__all__ = ["published_section"]

_SOURCES = {"paper": "paper", "rerun": "CPU"}


def published_section(
    medians: pd.DataFrame,
    beside: pd.DataFrame,
    found: Sequence[Summary],
    densities: Sequence[str],
    published: pd.DataFrame,
) -> list[str]:
    """What was measured beside the paper's figures; nothing where no task is the paper's.

    Args:
        medians: As ``median_table`` gives it.
        beside: As ``beside_published`` gives it.
        found: Each density beside the baseline.
        densities: All of them.
        published: As ``published_medians`` gives it.
    """
    standings = [(name, standing(medians, name, published)) for name in densities]
    if not any(place for _, place in standings):
        return []
    lines = ["### Beside the published figures", ""]
    lines += ["Of arXiv 2601.18672; *CPU* is the published code run again on a CPU.", ""]
    lines += _averages(suites(medians), found, published)
    for name, place in standings:
        if place is not None:
            lines.append(
                f"- `{name}`: at or under the better published median on **{place.at_or_under} of "
                f"{place.tasks}** tasks; that median over ours: median "
                f"{number(place.median_gain)}, geometric mean {number(place.mean_gain)}, least "
                f"{number(place.worst_gain)}; 10 or more on {place.tenfold}."
            )
    if beside.empty:
        lines += ["", *_gains(medians, densities, published)]
    else:
        lines += [_reproduced(beside), ""]
    for suite in suites(beside) if not beside.empty else ():
        lines += [f"{suite.capitalize()}, medians of the relative L2 error:", ""]
        lines += _medians(of_suite(suite, beside))
    return lines


def _averages(
    measured: Sequence[str], found: Sequence[Summary], published: pd.DataFrame
) -> list[str]:
    """The paper's averages suite by suite, ours below them."""
    theirs = published_suites(published)
    rows = []
    for suite in measured:
        rows += [
            _average(suite, f"{_SOURCES[of.source]}: curvature over input", of)
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
    """Every task's median beside the better published one."""
    rows = pd.concat([gains(medians, name, published) for name in densities])
    found = {(r["benchmark"], r["task"], r["density"]): r for r in rows.to_dict("records")}
    better = {(r["benchmark"], r["task"]): r["paper"] for r in rows.to_dict("records")}
    header = ["suite", "task", "paper's better median"]
    for name in densities:
        header += [f"`{name}`", "times better"]
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
    """One suite's medians, a row a task."""
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
    """How many medians are near a published one, and which are not."""
    out = beside[~beside["within"]]
    line = (
        f"- Within a factor {FACTOR:g} of the nearer published figure: "
        f"**{len(beside) - len(out)} of {len(beside)}** medians"
    )
    for words, part in (("lower", out[out["ratio"] < 1]), ("higher", out[out["ratio"] >= 1])):
        names = [f"{r['benchmark']} {r['task']} `{r['density']}`" for r in part.to_dict("records")]
        if names:
            line += f"; {words}: {', '.join(names)}"
    return line + "."
