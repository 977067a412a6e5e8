"""Quantiles and breakpoints are what they say.

That breakpoints rise with a least gap whatever the samples are is tested in test_hostile.py.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kanlit.splines import (
    breakpoints_of,
    enforce_least_gap,
    extend_breakpoints,
    uniform_breakpoints,
    weighted_quantile,
    weighted_quantile_breakpoints,
)

# The same examples every time, none stored.
LAWS = settings(max_examples=150, deadline=None, derandomize=True)


# -- quantiles ----------------------------------------------------------------------------------


def test_median_is_the_only_sample_that_weighs() -> None:
    x = torch.tensor([[0.1], [0.5], [0.9]])
    half = torch.tensor([0.5])
    assert weighted_quantile(x, torch.tensor([1.0, 0.0, 0.0]), half).item() == x[0].item()
    assert weighted_quantile(x, torch.tensor([0.0, 0.0, 1.0]), half).item() == x[2].item()


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1001])
def test_equal_weights_give_numpys_inverted_cdf(n: int) -> None:
    x = torch.randn(n, 2, dtype=torch.float64)
    # Shares that no k/n meets: there the last bit of a product decides which sample it is.
    levels = (torch.arange(1, 20, dtype=torch.float64) - 0.4321) / 20
    expected = np.quantile(x.numpy(), levels.numpy(), axis=0, method="inverted_cdf")
    ours = weighted_quantile(x, torch.full((n,), 0.37, dtype=torch.float64), levels)
    np.testing.assert_array_equal(ours.numpy(), expected.T)


@pytest.mark.parametrize("n", [2, 3, 7, 10, 49, 100, 1000])
def test_level_m_over_n_of_equal_weights_is_the_sample_number_m(n: int) -> None:
    x = torch.arange(1, n + 1, dtype=torch.float64).unsqueeze(1)
    levels = torch.arange(1, n + 1, dtype=torch.float64) / n
    for weight in (1.0, 0.1, 1 / 3):
        ours = weighted_quantile(x, torch.full((n,), weight, dtype=torch.float64), levels)
        assert torch.equal(ours, x.T)


def test_quantiles_are_the_definition_taken_literally() -> None:
    x = torch.randn(40, 1, dtype=torch.float64).mul(3).round()
    w = torch.rand(40, dtype=torch.float64)
    levels = torch.linspace(0.03, 1.0, 17, dtype=torch.float64)
    for level, ours in zip(levels, weighted_quantile(x, w, levels)[0], strict=True):
        reached = [t for t in x[:, 0] if w[x[:, 0] <= t].sum() / w.sum() >= level - 1e-12]
        assert ours == min(reached)


@pytest.mark.parametrize("factor", [1e-30, 0.125, 3.7, 1e30])
def test_scaling_the_weights_changes_nothing(factor: float) -> None:
    x, w = torch.randn(50, 2, dtype=torch.float64), torch.rand(50, dtype=torch.float64)
    levels = torch.linspace(0.051, 0.971, 23, dtype=torch.float64)
    assert torch.equal(weighted_quantile(x, w, levels), weighted_quantile(x, factor * w, levels))


def test_order_of_the_samples_changes_nothing() -> None:
    x, w = torch.randn(50, 2, dtype=torch.float64), torch.rand(50, dtype=torch.float64)
    levels = torch.linspace(0.051, 0.971, 23, dtype=torch.float64)
    p = torch.randperm(50)
    assert torch.equal(weighted_quantile(x, w, levels), weighted_quantile(x[p], w[p], levels))


def test_weights_of_each_column_act_on_that_column_alone() -> None:
    x, w = torch.randn(50, 3, dtype=torch.float64), torch.rand(50, 3, dtype=torch.float64)
    levels = torch.linspace(0.051, 0.971, 11, dtype=torch.float64)
    together = weighted_quantile(x, w, levels)
    for column in range(3):
        alone = weighted_quantile(x[:, [column]], w[:, column], levels)
        assert torch.equal(together[[column]], alone)


def test_column_of_zero_weights_counts_as_equally_weighted() -> None:
    x = torch.randn(30, 2, dtype=torch.float64)
    w = torch.stack([torch.zeros(30), torch.rand(30)], 1)
    levels = torch.linspace(0.051, 0.971, 11, dtype=torch.float64)
    equal = weighted_quantile(x, torch.ones(30), levels)
    weighted = weighted_quantile(x, w[:, 1], levels)
    assert torch.equal(weighted_quantile(x, w, levels), torch.stack([equal[0], weighted[1]]))


def test_integer_weight_is_a_repeated_sample() -> None:
    x = torch.randn(20, 1, dtype=torch.float64)
    w = torch.randint(0, 4, (20,))
    levels = (torch.arange(1, 20, dtype=torch.float64) - 0.4321) / 20
    repeated = x.repeat_interleave(w, dim=0)
    expected = weighted_quantile(repeated, torch.ones(len(repeated)), levels)
    assert torch.equal(weighted_quantile(x, w.double(), levels), expected)


# -- breakpoints --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [0.0, 0.01, 0.25])
def test_ends_are_the_range_of_the_samples_widened_by_the_margin(
    margin: float, dtype: torch.dtype
) -> None:
    x = torch.randn(200, 3, dtype=dtype) * torch.tensor([1e-5, 1.0, 1e5], dtype=dtype)
    b = weighted_quantile_breakpoints(x, None, 7, margin=margin)
    low, high = x.double().amin(0), x.double().amax(0)
    width = high - low
    torch.testing.assert_close(b[:, 0], (low - margin * width).to(dtype))
    torch.testing.assert_close(b[:, -1], (high + margin * width).to(dtype))
    if margin == 0:
        assert torch.equal(b[:, 0], x.amin(0))
        assert torch.equal(b[:, -1], x.amax(0))


def test_breakpoints_are_the_blend_of_uniform_and_quantile() -> None:
    x, w = torch.randn(500, 2, dtype=torch.float64), torch.rand(500, dtype=torch.float64)
    G, e, margin = 6, 0.3, 0.05
    b = weighted_quantile_breakpoints(x, w, G, uniform_mix=e, least_gap=1e-9, margin=margin)
    levels = torch.arange(1, G, dtype=torch.float64) / G
    width = x.amax(0) - x.amin(0)
    uniform = uniform_breakpoints(x.amin(0) - margin * width, x.amax(0) + margin * width, G)
    expected = e * uniform[:, 1:-1] + (1 - e) * weighted_quantile(x, w, levels)
    torch.testing.assert_close(b[:, 1:-1], expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("a", "b"), [(3.0, 0.0), (0.01, 5.0), (1e4, -20.0), (1.0, 0.7)])
def test_breakpoints_move_with_an_affine_map_of_the_samples(a: float, b: float) -> None:
    x = torch.randn(80, 2, dtype=torch.float64)
    x[:30] = 0.4  # ties, so that the least gap acts too
    w = torch.rand(80, dtype=torch.float64)
    mapped = weighted_quantile_breakpoints(a * x + b, w, 9, uniform_mix=0.1)
    expected = a * weighted_quantile_breakpoints(x, w, 9, uniform_mix=0.1) + b
    torch.testing.assert_close(mapped, expected, rtol=1e-11, atol=1e-11 * a)


def test_breakpoints_crowd_where_the_weights_are_large() -> None:
    x = torch.linspace(-1, 1, 2001, dtype=torch.float64).unsqueeze(1)
    w = torch.where(x[:, 0] > 0.5, 9.0, 1.0)  # three quarters of the mass in a quarter
    b = weighted_quantile_breakpoints(x, w, 40)
    assert abs(int((b[0] > 0.5).sum()) - 30) <= 1


def test_constant_feature_gets_a_span_of_half_its_size_each_way() -> None:
    x = torch.tensor([0.0, 8.0, -2.0], dtype=torch.float64).repeat(5, 1)
    b = weighted_quantile_breakpoints(x, None, 4, uniform_mix=1.0)
    expected = torch.tensor([[-0.5, 0.5], [4.0, 12.0], [-3.0, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(b[:, [0, -1]], expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_samples_that_are_not_finite_are_refused(bad: float) -> None:
    x = torch.randn(10, 2)
    x[3, 1] = bad
    with pytest.raises(ValueError, match="samples"):
        weighted_quantile_breakpoints(x, None, 3)
    with pytest.raises(ValueError, match="samples"):
        weighted_quantile(x, torch.ones(10), torch.tensor([0.5]))


@pytest.mark.parametrize("grid_size", [1, 3])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_weights_that_are_not_finite_or_negative_are_refused(bad: float, grid_size: int) -> None:
    w = torch.ones(10)
    w[3] = bad
    with pytest.raises(ValueError, match="weights"):
        weighted_quantile_breakpoints(torch.randn(10, 2), w, grid_size)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("grid_size", 0),
        ("uniform_mix", -0.1),
        ("uniform_mix", 1.5),
        ("uniform_mix", float("nan")),
        ("least_gap", 0.0),
        ("least_gap", 1.5),
        ("margin", -0.1),
        ("margin", float("inf")),
        ("margin", float("nan")),
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting: str, value: float) -> None:
    settings_ = {"grid_size": 3, setting: value}
    with pytest.raises(ValueError, match=setting):
        weighted_quantile_breakpoints(torch.randn(10, 2), None, **settings_)  # type: ignore[arg-type]


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="samples"):
        weighted_quantile_breakpoints(torch.empty(0, 2), None, 3)


# -- the least gap ------------------------------------------------------------------------------


def sorted_breakpoints(count: int, power: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    gaps = torch.rand(2, count, generator=generator, dtype=torch.float64) ** power
    return torch.cat([torch.zeros(2, 1), gaps.cumsum(1)], 1) - 0.7


@LAWS
@given(
    count=st.integers(1, 40),
    power=st.sampled_from([1.0, 5.0, 30.0]),
    share=st.floats(1e-3, 1.0),
    seed=st.integers(0, 2**31),
)
def test_least_gap_holds_keeps_the_ends_and_is_idempotent(
    count: int, power: float, share: float, seed: int
) -> None:
    b = sorted_breakpoints(count, power, seed)
    width = b[:, -1:] - b[:, :1]
    gap = share * width / count
    spaced = enforce_least_gap(b, gap)
    rounded = 1e-14 * (1 + width)
    assert (spaced.diff(dim=1) >= gap - rounded).all()
    assert torch.equal(spaced[:, [0, -1]], b[:, [0, -1]])
    assert ((enforce_least_gap(spaced, gap) - spaced).abs() <= rounded).all()


@LAWS
@given(count=st.integers(1, 40), share=st.floats(1e-3, 1.0), seed=st.integers(0, 2**31))
def test_breakpoints_that_keep_the_gap_do_not_move(count: int, share: float, seed: int) -> None:
    b = sorted_breakpoints(count, 3.0, seed)
    gap = share * b.diff(dim=1).amin(1, keepdim=True)
    assert ((enforce_least_gap(b, gap) - b).abs() <= 1e-14 * (1 + b.abs().amax())).all()


def test_least_gap_moves_no_breakpoint_farther_than_the_nearest_answer_needs() -> None:
    # Three ties in the middle of [0, 10], gap 1: the outer two move one each, the middle stays.
    b = torch.tensor([[0.0, 5.0, 5.0, 5.0, 10.0]], dtype=torch.float64)
    spaced = enforce_least_gap(b, torch.ones(1, 1, dtype=torch.float64))
    expected = torch.tensor([[0.0, 4.0, 5.0, 6.0, 10.0]], dtype=torch.float64)
    torch.testing.assert_close(spaced, expected)


# -- knots around them --------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_exterior_knots_repeat_the_end_interval_or_the_uniform_step(degree: int) -> None:
    b = torch.tensor([[0.0, 0.5, 3.0, 4.0], [-1.0, 0.0, 1.0, 8.0]], dtype=torch.float64)
    k = degree
    steps = {"end": ([0.5, 1.0], [1.0, 7.0]), "uniform": ([4 / 3, 3.0], [4 / 3, 3.0])}
    for exterior, (left, right) in steps.items():
        knots = extend_breakpoints(b, k, exterior)  # type: ignore[arg-type]
        assert torch.equal(breakpoints_of(knots, k), b)
        for feature in range(2):
            gaps = knots[feature].diff()
            expected = torch.tensor([left[feature]] * k, dtype=torch.float64)
            torch.testing.assert_close(gaps[:k], expected)
            expected = torch.tensor([right[feature]] * k, dtype=torch.float64)
            torch.testing.assert_close(gaps[-k:], expected)


def test_uniform_breakpoints_meet_both_ends_exactly() -> None:
    low, high = torch.tensor([0.1, -1e6, 3.3]), torch.tensor([0.7, 1e-3, 1e7])
    b = uniform_breakpoints(low, high, 7)
    assert torch.equal(b[:, 0], low)
    assert torch.equal(b[:, -1], high)
