"""The statistics of a benchmark obey their laws, and agree with what can be worked out by hand."""

from __future__ import annotations

from dataclasses import astuple
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from kanlit.benchmark.ranks import critical_distance, equal_groups, friedman_p, mean_ranks
from kanlit.benchmark.statistics import (
    TIE,
    Comparison,
    Outcomes,
    compare,
    log_ratio,
    outcomes,
    reduction_intervals,
    relative_reduction,
    wilcoxon_p,
)

Errors = list[NDArray[np.float64]]


def errors(tasks: int, seeds: int, effect: float = 0.0, *, seed: int) -> Errors:
    """Log-normal errors of levels that differ by task, all ``exp(effect)`` times as large."""
    levels = np.random.default_rng(0).normal(-5.0, 2.0, tasks)
    noise = np.random.default_rng(seed).normal(0.0, 0.4, (tasks, seeds))
    return list(np.exp(levels[:, None] + effect + noise))


def few(baseline: Errors, density: Errors) -> Comparison:
    return compare(baseline, density, resamples=500)


def signed_rank_p(gains: NDArray[np.float64]) -> float:
    """The one-sided p-value by going through all signs that the gains could have had."""
    ranks = stats.rankdata(np.abs(gains))
    observed = ranks[gains > 0].sum()
    sums = [ranks @ signs for signs in product([0, 1], repeat=len(gains))]
    return float(np.mean(np.array(sums) >= observed))


def test_reduction_and_ratio_are_of_the_medians() -> None:
    baseline = [np.array([1.0, 4.0, 9.0]), np.array([2.0, 2.0, 8.0])]
    density = [np.array([0.1, 1.0, 7.0]), np.array([3.0, 4.0, 5.0])]  # a quarter, twice

    comparison = few(baseline, density)

    assert comparison.reduction == pytest.approx((0.75 - 1.0) / 2)
    assert comparison.ratio == pytest.approx(np.sqrt(0.25 * 2.0))
    assert comparison.outcomes == Outcomes(1, 0, 1)


def test_identical_densities_gain_nothing() -> None:
    same = errors(12, 5, seed=1)

    comparison = few(same, same)

    assert (comparison.reduction, comparison.ratio) == (0.0, 1.0)
    assert comparison.outcomes == Outcomes(0, 12, 0)
    assert comparison.p_log_ratios == comparison.p_medians == 1.0
    assert comparison.ratio_seeds.low < 1.0 < comparison.ratio_seeds.high


def test_densities_alike_but_for_chance_have_uniform_p_values() -> None:
    p = [
        wilcoxon_p(
            log_ratio(*np.median([errors(9, 3, seed=s), errors(9, 3, seed=s + 5000)], axis=2))
        )
        for s in range(400)
    ]

    assert np.mean(p) == pytest.approx(0.5, abs=0.05)
    assert np.mean(np.array(p) <= 0.05) < 0.08


def test_scale_of_a_task_does_not_matter() -> None:
    baseline, density = errors(8, 5, seed=1), errors(8, 5, -0.3, seed=2)
    scales = 2.0 ** np.arange(-3, 5)  # powers of two leave no rounding

    before = few(baseline, density)
    after = few(
        [s * e for s, e in zip(scales, baseline, strict=True)],
        [s * e for s, e in zip(scales, density, strict=True)],
    )
    same_scale = few([8.0 * e for e in baseline], [8.0 * e for e in density])

    assert after.outcomes == before.outcomes
    for name in ("reduction", "ratio", "p_log_ratios"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-12), name
    for name in ("reduction_seeds", "reduction_tasks", "ratio_seeds", "ratio_tasks"):
        found, expected = astuple(getattr(after, name)), astuple(getattr(before, name))
        assert found == pytest.approx(expected, rel=1e-12), name
    assert same_scale.p_medians == before.p_medians


def test_exchanging_the_two_turns_everything_round() -> None:
    baseline, density = errors(10, 5, seed=1), errors(10, 5, -0.4, seed=2)

    forth, back = few(baseline, density), few(density, baseline)

    assert forth.ratio == pytest.approx(1 / back.ratio)
    assert forth.outcomes == Outcomes(*astuple(back.outcomes)[::-1])
    # What one side calls at least as extreme, the other does not, but for the observed itself.
    assert forth.p_log_ratios < 0.5 < back.p_log_ratios
    assert 1.0 < forth.p_log_ratios + back.p_log_ratios < 1.1


def test_wilcoxon_counts_the_signs() -> None:
    gains = np.array([0.9, -0.1, 0.4, 1.7, -0.3, 0.6, 0.2])

    assert wilcoxon_p(gains) == pytest.approx(signed_rank_p(gains))
    assert wilcoxon_p(-gains) == pytest.approx(signed_rank_p(-gains))
    assert wilcoxon_p([0.0, *gains, 0.0]) == wilcoxon_p(gains)
    assert wilcoxon_p([1.0, 2.0, 3.0, 4.0]) == 2.0**-4
    assert wilcoxon_p([0.0, 0.0]) == 1.0


def test_comparison_tests_log_ratios_and_medians_each_in_its_own_order() -> None:
    # The one loss is the smallest ratio but the largest difference.
    b, d = np.array([1e-3, 1e-2, 5e-3, 1.0]), np.array([1e-4, 2e-3, 2e-3, 1.2])

    comparison = few([np.array([x]) for x in b], [np.array([x]) for x in d])

    assert comparison.p_log_ratios == signed_rank_p(np.log(b / d)) == 2 / 16
    assert comparison.p_medians == signed_rank_p(b - d) == 7 / 16


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    tasks, seeds, mean, spread, noise = 12, 5, -0.3, 0.6, 0.4
    covered_tasks = covered_seeds = 0
    widths = []
    simulations = 200
    for _ in range(simulations):
        effects = rng.normal(mean, spread, tasks)
        base = np.exp(rng.normal(0.0, noise, (tasks, seeds)))
        density = np.exp(effects[:, None] + rng.normal(0.0, noise, (tasks, seeds)))
        found = compare(list(base), list(density), resamples=300)
        low, high = astuple(found.ratio_tasks)
        covered_tasks += low <= np.exp(mean) <= high
        widths.append(np.log(high / low))
        low, high = astuple(found.ratio_seeds)
        covered_seeds += low <= np.exp(effects.mean()) <= high

    assert 0.92 <= covered_tasks / simulations <= 1.0
    assert 0.92 <= covered_seeds / simulations <= 1.0
    # Not by being wide: the estimate's own deviation is at least spread / √tasks.
    assert np.mean(widths) < 1.6 * 2 * 1.96 * np.hypot(spread, 0.7 * noise) / np.sqrt(tasks)


def test_seeds_without_scatter_leave_the_tasks_as_the_only_chance() -> None:
    ratios = [0.5, 0.8]
    baseline, density = [np.ones(3), np.ones(3)], [np.full(3, r) for r in ratios]

    comparison = few(baseline, density)

    assert astuple(comparison.ratio_seeds) == pytest.approx((np.sqrt(0.4),) * 2)
    # A quarter of the draws is twice the one task, a quarter twice the other.
    assert astuple(comparison.ratio_tasks) == pytest.approx((0.5, 0.8))
    assert astuple(comparison.reduction_tasks) == pytest.approx((0.2, 0.5))
    assert [astuple(i) for i in reduction_intervals(baseline, density)] == [
        pytest.approx((0.5, 0.5)),
        pytest.approx((0.2, 0.2)),
    ]


def test_intervals_come_out_the_same_again() -> None:
    baseline, density = errors(6, 3, seed=1), errors(6, 3, seed=2)

    assert few(baseline, density) == few(baseline, density)
    assert reduction_intervals(baseline, density) == reduction_intervals(baseline, density)


def test_failures_never_help() -> None:
    baseline, density = errors(6, 3, seed=1), errors(6, 3, -0.5, seed=2)
    whole = few(baseline, density)

    for task, seed in product(range(6), range(3)):
        broken = [e.copy() for e in density]
        broken[task][seed] = np.inf
        found = few(baseline, broken)
        assert found.reduction <= whole.reduction
        assert found.p_log_ratios >= whole.p_log_ratios
        assert found.p_medians >= whole.p_medians
        assert found.outcomes.wins <= whole.outcomes.wins
        assert np.isfinite(astuple(found.ratio_tasks)).all()


def test_task_that_fails_throughout_is_lost_but_not_averaged() -> None:
    gone, fine = np.full(3, np.inf), np.array([1.0, 2.0, 3.0])

    lost = few([fine, fine], [fine / 2, gone])
    won = few([fine, gone], [fine / 2, fine])
    neither = few([fine, gone], [fine / 2, gone])

    assert lost.outcomes == Outcomes(1, 0, 1)
    assert won.outcomes == Outcomes(2, 0, 0)
    assert neither.outcomes == Outcomes(1, 1, 0)
    for found in (lost, won, neither):
        assert (found.tasks, found.finite) == (2, 1)
        assert found.reduction == pytest.approx(0.5)
    assert lost.p_medians == signed_rank_p(np.array([1.0, -2.0]))
    assert won.p_medians == 2.0**-2
    assert neither.p_medians == 2.0**-1

    nothing = few([gone], [fine])
    assert np.isnan([nothing.reduction, *astuple(nothing.ratio_tasks)]).all()


def test_ties_are_medians_within_their_share() -> None:
    edge = (1 + TIE) * (1 - 1e-12)

    assert outcomes([1.0, edge, 1.0], [edge, 1.0, 1.0]) == Outcomes(0, 3, 0)
    assert outcomes([1.0, 1.02], [1.02, 1.0]) == Outcomes(1, 0, 1)


def test_reduction_of_errors_that_are_infinite_or_zero() -> None:
    inf = np.inf
    reduction = relative_reduction([2.0, 2.0, inf, inf, 0.0], [1.0, inf, 2.0, inf, 0.0])

    assert reduction.tolist() == [0.5, -inf, 1.0, 0.0, 0.0]


def test_comparison_refuses_what_is_no_pair_of_benchmarks() -> None:
    with pytest.raises(ValueError, match="at least one task"):
        compare([], [])
    with pytest.raises(ValueError, match="an error for each"):
        compare([np.array([])], [np.array([1.0])])
    with pytest.raises(ValueError, match="the baseline has 1 tasks, the density 2"):
        compare([np.ones(1)], [np.ones(1)] * 2)


# Demšar (2006), table 5 (a): critical values of the two-tailed Nemenyi test.
@pytest.mark.parametrize(
    ("densities", "q_5", "q_10"),
    [(2, 1.960, 1.645), (3, 2.343, 2.052), (4, 2.569, 2.291), (5, 2.728, 2.459)],
)
def test_critical_distance_has_the_published_values(
    densities: int, q_5: float, q_10: float
) -> None:
    scale = np.sqrt(densities * (densities + 1) / (6.0 * 17))

    assert critical_distance(densities, 17) / scale == pytest.approx(q_5, abs=1e-3)
    assert critical_distance(densities, 17, alpha=0.1) / scale == pytest.approx(q_10, abs=1e-3)


def test_ranks_share_what_is_to_be_shared() -> None:
    medians = np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 0.1], [0.2, np.inf, np.inf]])

    ranks = mean_ranks(medians)

    assert ranks.tolist() == pytest.approx([(1 + 2.5 + 1) / 3, (2 + 2.5 + 2.5) / 3, 6.5 / 3])
    assert ranks.sum() == pytest.approx(1 + 2 + 3)


def test_friedman_is_that_of_the_ranks() -> None:
    medians = np.random.default_rng(2).lognormal(size=(9, 4)) * [1.0, 2.0, 1.0, 3.0]
    spread = np.sum((mean_ranks(medians) - 2.5) ** 2)

    assert friedman_p(medians) == pytest.approx(stats.chi2.sf(12 * 9 / (4 * 5) * spread, df=3))
    assert friedman_p(np.ones((5, 3))) == 1.0


@pytest.mark.parametrize("distance", [0.0, 0.3, 0.7, 1.5, 9.0])
def test_equal_groups_are_the_largest_that_the_distance_allows(distance: float) -> None:
    ranks = np.sort(np.random.default_rng(4).uniform(1.0, 7.0, 12))

    groups = equal_groups(ranks, distance)

    assert all(ranks[last] - ranks[first] <= distance for first, last in groups)
    together = {
        pair for first, last in groups for pair in product(range(first, last + 1), repeat=2)
    }
    for i, j in product(range(12), repeat=2):
        if i != j:
            assert ((i, j) in together) == (abs(ranks[i] - ranks[j]) <= distance)
    assert not any(a != b and b[0] <= a[0] and a[1] <= b[1] for a, b in product(groups, groups))
