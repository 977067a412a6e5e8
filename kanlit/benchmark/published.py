"""The published results, and comparisons of a benchmark with them.

Rigas, Papaioannou, Trakadas, Alexandridis, "A Dynamic Framework for Grid Adaptation in
Kolmogorov-Arnold Networks", arXiv 2601.18672. ``published_medians.csv`` explains its columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import pandas as pd

from kanlit.benchmark.comparison import in_order
from kanlit.benchmark.statistics import Outcomes, log_ratio, outcomes, relative_reduction
from kanlit.benchmark.statistics import wilcoxon_p as _wilcoxon_p

__all__ = [
    "FACTOR",
    "PublishedSuite",
    "Standing",
    "beside_published",
    "gains",
    "published_equations",
    "published_medians",
    "published_suites",
    "standing",
]

FACTOR = 3.0  # a median within this factor counts as reproduced
_TASK = ["benchmark", "task"]


@dataclass(frozen=True)
class PublishedSuite:
    """Published comparison of the curvature density with the input density on one suite.

    Attributes:
        suite: Name of the suite.
        source: ``paper`` or ``rerun``.
        tasks: Number of tasks.
        reduction: Average relative error reduction.
        ratio: Geometric mean of the ratios of medians, curvature / input.
        outcomes: Wins, ties and losses of curvature.
        p_log_ratios: One-sided Wilcoxon p-value of the logarithms of the ratios.
        p_medians: One-sided Wilcoxon p-value of the differences of the medians.
    """

    suite: str
    source: str
    tasks: int
    reduction: float
    ratio: float
    outcomes: Outcomes
    p_log_ratios: float
    p_medians: float


@dataclass(frozen=True)
class Standing:
    """Comparison of a density with the better of the two published medians of each task.

    The gain on a task is the better published median divided by the median of the density.

    Attributes:
        tasks: Number of published tasks that the density was run on.
        at_or_under: Number of tasks with a gain of at least 1.
        median_gain: Median gain.
        mean_gain: Geometric mean of the gains.
        worst_gain: Lowest gain.
        tenfold: Number of tasks with a gain of at least 10.
    """

    tasks: int
    at_or_under: int
    median_gain: float
    mean_gain: float
    worst_gain: float
    tenfold: int


def published_medians() -> pd.DataFrame:
    """The published medians.

    Columns: ``benchmark, task, density, source, seeds, rel_l2, std_rel_l2, wall_s``. ``density`` is
    ``input`` or ``curvature``. ``source`` is ``paper``, or ``rerun`` for the published code run
    again on a CPU (synthetic tasks only).
    """
    with files(__package__).joinpath("published_medians.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, comment="#")


def published_equations() -> pd.DataFrame:
    """What others publish for equations, in words: columns ``task, first, highest``."""
    with files(__package__).joinpath("published_equations.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, comment="#")


def published_suites(published: pd.DataFrame) -> list[PublishedSuite]:
    """Compares curvature with input by the published medians, per suite."""
    result = []
    for source in ("paper", "rerun"):
        own = published[published["source"] == source]
        for suite in in_order(own["benchmark"]):
            rows = own[own["benchmark"] == suite]
            table = rows.pivot(index="task", columns="density", values="rel_l2").dropna()
            base, density = table["input"].to_numpy(), table["curvature"].to_numpy()
            change = log_ratio(base, density)
            result.append(
                PublishedSuite(
                    suite=suite,
                    source=source,
                    tasks=len(table),
                    reduction=float(relative_reduction(base, density).mean()),
                    ratio=float(np.exp(change.mean())),
                    outcomes=outcomes(base, density),
                    p_log_ratios=_wilcoxon_p(-change),
                    p_medians=_wilcoxon_p(base - density),
                )
            )
    return result


def beside_published(
    medians: pd.DataFrame, names: Mapping[str, str], published: pd.DataFrame
) -> pd.DataFrame:
    """Medians of the paper's two densities with the published ones, one row each.

    Columns: ``benchmark, task, density, median, paper, ratio, rerun, rerun_ratio, factor, within``.
    The ratios are measured / published; ``factor`` is ``max(r, 1/r)`` for the closer of the two,
    and ``within`` is true if it is at most :data:`FACTOR`.

    Args:
        medians: Columns ``benchmark, task, density, median``.
        names: Names in the benchmark of the paper's ``input`` and ``curvature``, either or both.
        published: Result of :func:`published_medians`.
    """
    table = published.pivot(index=[*_TASK, "density"], columns="source", values="rel_l2")
    table = table.reindex(columns=["paper", "rerun"]).reset_index()
    table = table[table["density"].isin(list(names))]
    table["density"] = table["density"].map(dict(names))
    ours = medians[[*_TASK, "density", "median"]]
    rows = ours.merge(table, on=[*_TASK, "density"], how="inner")
    rows["ratio"] = rows["median"] / rows["paper"]
    rows["rerun_ratio"] = rows["median"] / rows["rerun"]
    distances = np.abs(np.log(rows[["ratio", "rerun_ratio"]].to_numpy(np.float64)))
    rows["factor"] = np.exp(np.fmin(distances[:, 0], distances[:, 1]))
    rows["within"] = rows["factor"] <= FACTOR
    columns = ["median", "paper", "ratio", "rerun", "rerun_ratio", "factor", "within"]
    return rows[[*_TASK, "density", *columns]]


def gains(medians: pd.DataFrame, density: str, published: pd.DataFrame) -> pd.DataFrame:
    """Gains of a density over the better of the two published medians, one row per task.

    Columns: ``benchmark, task, density, median, paper, gain`` with ``gain = paper / median``.
    """
    paper = published[published["source"] == "paper"]
    better = paper.groupby(_TASK)["rel_l2"].min().rename("paper").reset_index()
    own = medians[medians["density"] == density]
    rows = own[[*_TASK, "density", "median"]].merge(better, on=_TASK, how="inner")
    return rows.assign(gain=rows["paper"] / rows["median"])


def standing(medians: pd.DataFrame, density: str, published: pd.DataFrame) -> Standing | None:
    """Summarizes the gains of a density; ``None`` if it was not run on a published task."""
    gain = gains(medians, density, published)["gain"].to_numpy(np.float64)
    if not len(gain):
        return None
    with np.errstate(divide="ignore"):
        mean = float(np.exp(np.log(gain).mean()))
    return Standing(
        tasks=len(gain),
        at_or_under=int((gain >= 1.0).sum()),
        median_gain=float(np.median(gain)),
        mean_gain=mean,
        worst_gain=float(gain.min()),
        tenfold=int((gain >= 10.0).sum()),
    )
