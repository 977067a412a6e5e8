"""Ranks of several densities over many tasks, compared as in Demšar (JMLR 7, 2006)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kanlit.benchmark.statistics import LEVEL, Array

__all__ = ["critical_distance", "equal_groups", "friedman_p", "mean_ranks"]


def mean_ranks(medians: ArrayLike) -> Array:
    """Mean rank of each density ``(densities,)`` over medians ``(tasks, densities)``; 1 is best.

    Equal medians all get the average of their ranks.
    """
    from scipy import stats

    ranks: Array = stats.rankdata(np.asarray(medians, np.float64), axis=1)
    return ranks.mean(axis=0)


def friedman_p(medians: ArrayLike) -> float:
    """P-value of Friedman's test that all densities ``(tasks, densities)`` have equal ranks.

    Needs at least three densities; 1 if all densities are equal on every task.
    """
    from scipy import stats

    values = np.asarray(medians, np.float64)
    if (values == values[:, :1]).all():
        return 1.0
    return float(stats.friedmanchisquare(*values.T).pvalue)


def critical_distance(densities: int, tasks: int, alpha: float = 1.0 - LEVEL) -> float:
    """Nemenyi's critical distance between mean ranks.

    ``CD = q_α √(k (k + 1) / (6 N))`` for k densities on N tasks, where ``√2 q_α`` is the upper α
    quantile of the studentized range of k values with infinite degrees of freedom (Demšar,
    JMLR 7, 2006, section 3.2.2).

    Example:
        >>> round(critical_distance(densities=5, tasks=30), 3)
        1.114
    """
    from scipy import stats

    q = float(stats.studentized_range.ppf(1.0 - alpha, densities, np.inf)) / np.sqrt(2.0)
    return float(q * np.sqrt(densities * (densities + 1) / (6.0 * tasks)))


def equal_groups(ranks: ArrayLike, distance: float) -> list[tuple[int, int]]:
    """Groups of ascending mean ranks within ``distance``, as first and last positions.

    Only groups of at least two that are not part of a larger group.
    """
    values = np.asarray(ranks, np.float64)
    groups: list[tuple[int, int]] = []
    for first in range(len(values)):
        last = int(np.searchsorted(values, values[first] + distance, side="right")) - 1
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups
