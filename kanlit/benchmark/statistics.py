"""Statistics of a benchmark: compares the errors of a density with those of a baseline.

Errors are one array per task with one value per seed. A failed run is an infinite error, so that
failing is never an advantage. A task is represented by its median m over the seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "LEVEL",
    "RESAMPLES",
    "TIE",
    "Comparison",
    "Interval",
    "Outcomes",
    "compare",
    "log_ratio",
    "outcomes",
    "reduction_intervals",
    "relative_reduction",
    "wilcoxon_p",
]

Array = NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 10_000
TIE = 0.01  # largest relative difference of medians that count as equal
_SEED = 0


@dataclass(frozen=True)
class Interval:
    """Ends of an interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Outcomes:
    """Number of tasks on which the median of the density is lower, equal or higher."""

    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Comparison:
    """Comparison of a density with the baseline over several tasks.

    Attributes:
        tasks: Number of tasks.
        finite: Number of tasks on which both medians are finite; averages are over these.
        reduction: Average relative error reduction.
        reduction_seeds: Its interval with seeds resampled, for these tasks.
        reduction_tasks: Its interval with seeds and tasks resampled, for similar tasks.
        ratio: Geometric mean of the ratios of medians, density / baseline.
        ratio_seeds: Its interval with seeds resampled.
        ratio_tasks: Its interval with seeds and tasks resampled.
        outcomes: Wins, ties and losses over all tasks.
        p_log_ratios: One-sided Wilcoxon p-value of the logarithms of the ratios.
        p_medians: One-sided Wilcoxon p-value of the differences of the medians, as in the paper.
    """

    tasks: int
    finite: int
    reduction: float
    reduction_seeds: Interval
    reduction_tasks: Interval
    ratio: float
    ratio_seeds: Interval
    ratio_tasks: Interval
    outcomes: Outcomes
    p_log_ratios: float
    p_medians: float


def relative_reduction(baseline: ArrayLike, density: ArrayLike) -> Array:
    """Relative error reduction ``1 - m_density / m_baseline``, elementwise.

    Two infinite errors give 0; one infinite error gives 1 or -∞.
    """
    return 1.0 - np.exp(log_ratio(baseline, density))


def log_ratio(baseline: ArrayLike, density: ArrayLike) -> Array:
    """``log(m_density / m_baseline)``, elementwise; negative if the density is better.

    Two infinite errors, or two zero ones, give 0.
    """
    b, d = np.asarray(baseline, np.float64), np.asarray(density, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b == d, 0.0, np.log(d) - np.log(b))


def outcomes(baseline: ArrayLike, density: ArrayLike, tie: float = TIE) -> Outcomes:
    """Wins, ties and losses of the medians ``(tasks,)`` of the density.

    A tie is ``|log(m_density / m_baseline)| ≤ log(1 + tie)``.
    """
    change = log_ratio(baseline, density)
    margin = np.log1p(tie)
    wins, losses = int((change < -margin).sum()), int((change > margin).sum())
    return Outcomes(wins, change.size - wins - losses, losses)


def wilcoxon_p(gains: ArrayLike) -> float:
    """P-value of the one-sided Wilcoxon signed-rank test that gains ``(tasks,)`` are positive.

    Computed by ``scipy.stats.wilcoxon`` without the zeros; 1 if all gains are zero. With n tasks,
    the p-value is at least 2⁻ⁿ.
    """
    from scipy import stats  # slow to import

    values = np.asarray(gains, np.float64)
    values = values[values != 0]
    if values.size == 0:
        return 1.0
    return float(stats.wilcoxon(values, alternative="greater").pvalue)


def compare(
    baseline: Sequence[Array],
    density: Sequence[Array],
    *,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compares the errors of a density with those of the baseline.

    Intervals are percentiles of a bootstrap with a fixed seed. Seeds are drawn with replacement,
    independently for each task and density. For the wider interval, tasks are drawn as well; a task
    that is drawn twice gets different seeds. A draw leaves out tasks whose median is infinite in
    it. With three seeds or four tasks there are few different draws, and intervals are rough.

    Args:
        baseline: Errors of the baseline, ``(seeds,)`` for each task.
        density: Errors of the density on the same tasks in the same order.
        resamples: Number of draws.

    Raises:
        ValueError: If there are no tasks, a task has no errors, or the numbers of tasks differ.
    """
    b, d = _medians(baseline), _medians(density)
    if b.shape != d.shape:
        raise ValueError(f"the baseline has {b.size} tasks, the density {d.size}")
    finite = np.isfinite(b) & np.isfinite(d)
    undecided = np.isinf(b) & np.isinf(d)
    with np.errstate(invalid="ignore"):
        differences = np.where(undecided, 0.0, b - d)
    kept = np.flatnonzero(finite).tolist()
    change = log_ratio(b[kept], d[kept])
    generator = np.random.default_rng(_SEED)
    drawn_b, drawn_d = _drawn_medians(
        [baseline[i] for i in kept], [density[i] for i in kept], resamples, generator
    )
    drawn = np.full(drawn_b.shape, np.nan)
    usable = np.isfinite(drawn_b) & np.isfinite(drawn_d)
    drawn[usable] = log_ratio(drawn_b[usable], drawn_d[usable])
    again = _drawn_tasks(drawn, generator)
    return Comparison(
        tasks=b.size,
        finite=len(kept),
        reduction=_mean(1.0 - np.exp(change)),
        reduction_seeds=_interval(_means(1.0 - np.exp(drawn))),
        reduction_tasks=_interval(_means(1.0 - np.exp(again))),
        ratio=float(np.exp(_mean(change))),
        ratio_seeds=_interval(np.exp(_means(drawn))),
        ratio_tasks=_interval(np.exp(_means(again))),
        outcomes=outcomes(b, d),
        p_log_ratios=wilcoxon_p(-log_ratio(b, d)),
        p_medians=wilcoxon_p(differences),
    )


def reduction_intervals(baseline: Sequence[Array], density: Sequence[Array]) -> list[Interval]:
    """Interval of the relative error reduction of each task, with seeds resampled as in `compare`.

    An end is infinite if enough draws have an infinite median.
    """
    generator = np.random.default_rng(_SEED)
    reductions = relative_reduction(*_drawn_medians(baseline, density, RESAMPLES, generator))
    return [_interval(column) for column in reductions.T]


def _medians(groups: Sequence[Array]) -> Array:
    if not groups or any(len(errors) == 0 for errors in groups):
        raise ValueError("a comparison needs at least one task, and an error for each task")
    return np.array([np.median(errors) for errors in groups])


def _drawn_medians(
    baseline: Sequence[Array],
    density: Sequence[Array],
    resamples: int,
    generator: np.random.Generator,
) -> tuple[Array, Array]:
    """Medians over seeds drawn with replacement, for both densities ``(resamples, tasks)``."""
    drawn = np.empty((2, resamples, len(baseline)))
    for task, pair in enumerate(zip(baseline, density, strict=True)):
        for side, errors in enumerate(pair):
            seeds = generator.integers(len(errors), size=(resamples, len(errors)))
            drawn[side, :, task] = np.median(errors[seeds], axis=1)
    return drawn[0], drawn[1]


def _drawn_tasks(drawn: Array, generator: np.random.Generator) -> Array:
    """Draws tasks with replacement; a task drawn twice gets different seeds."""
    resamples, tasks = drawn.shape
    if tasks == 0:
        return drawn
    chosen = generator.integers(tasks, size=drawn.shape)
    rows = generator.integers(resamples, size=drawn.shape)
    return drawn[rows, chosen]


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else float("nan")


def _means(drawn: Array) -> Array:
    """Mean of each draw over its finite tasks; draws without any are dropped."""
    means: Array = np.nanmean(drawn[~np.isnan(drawn).all(axis=1)], axis=1)
    return means


def _interval(drawn: Array) -> Interval:
    if drawn.size == 0:
        return Interval(float("nan"), float("nan"))
    tail = (1.0 - LEVEL) / 2.0
    # Without interpolation, which would turn an infinite end into NaN.
    low, high = np.quantile(drawn, [tail, 1.0 - tail], method="inverted_cdf")
    return Interval(float(low), float(high))
