"""The paper's figures, and a benchmark's own beside them.

Rigas, Papaioannou, Trakadas, Alexandridis, "A Dynamic Framework for Grid Adaptation in
Kolmogorov-Arnold Networks", arXiv 2601.18672. ``published_medians.csv`` says what each column is.
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
    "published_medians",
    "published_suites",
    "standing",
]

FACTOR = 3.0  # a figure within it counts as reproduced
_TASK = ["benchmark", "task"]


@dataclass(frozen=True)
class PublishedSuite:
    """What the published medians say of curvature beside input on one suite.

    Attributes:
        suite: Name of the suite.
        source: ``paper`` or ``rerun``.
        tasks: How many tasks.
        reduction: Average relative error reduction.
        ratio: Geometric mean of curvature's median over input's.
        outcomes: Wins, ties and losses of curvature.
        p_log_ratios: One-sided Wilcoxon p-value of the logarithms of the ratios.
        p_medians: The same of the differences of the medians.
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
    """A density's medians beside the better of the paper's two, task by task.

    Attributes:
        tasks: How many of the paper's tasks the density has run on.
        at_or_under: On how many its median is no higher.
        median_gain: Median over tasks of the paper's better median over the density's.
        mean_gain: Geometric mean of the same.
        worst_gain: The least of them.
        tenfold: On how many of the tasks it is 10 or more.
    """

    tasks: int
    at_or_under: int
    median_gain: float
    mean_gain: float
    worst_gain: float
    tenfold: int


def published_medians() -> pd.DataFrame:
    """Columns ``benchmark, task, density, source, seeds, rel_l2, std_rel_l2, wall_s``.

    ``density`` is ``input`` or ``curvature``; ``source`` is ``paper`` or ``rerun``, the published
    code run again on a CPU, on the synthetic tasks only.
    """
    with files(__package__).joinpath("published_medians.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, comment="#")


def published_suites(published: pd.DataFrame) -> list[PublishedSuite]:
    """Curvature beside input by the published medians, suite by suite."""
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
    """Medians of the paper's two densities beside the published ones, a row each.

    Columns ``benchmark, task, density, median, paper, ratio, rerun, rerun_ratio, factor, within``:
    the ratios are ours over the published one; ``factor`` is ``max(r, 1/r)`` for the nearer
    of the two, and ``within`` says whether it is at most :data:`FACTOR`.

    Args:
        medians: Columns ``benchmark, task, density, median``.
        names: The benchmark's names of the paper's ``input`` and ``curvature``, either or both.
        published: As :func:`published_medians` gives it.
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
    """A density's medians beside the better of the paper's two, a row a task.

    Columns ``benchmark, task, density, median, paper, gain`` with ``gain = paper / median``.
    """
    paper = published[published["source"] == "paper"]
    better = paper.groupby(_TASK)["rel_l2"].min().rename("paper").reset_index()
    own = medians[medians["density"] == density]
    rows = own[[*_TASK, "density", "median"]].merge(better, on=_TASK, how="inner")
    return rows.assign(gain=rows["paper"] / rows["median"])


def standing(medians: pd.DataFrame, density: str, published: pd.DataFrame) -> Standing | None:
    """A density's medians beside the better published one; ``None`` if it ran on no such task."""
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
