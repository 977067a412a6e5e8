"""De Boor's density: |f^(k+1)|^(1/(k+1)) from the splines, whatever the samples' own density."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch import Tensor

from kanlit.adaptation import (
    DeBoorDensity,
    ImportanceContext,
    ImportanceDensity,
    InputDensity,
    Placement,
    adapt_grids,
)
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, KANLayer
from kanlit.splines import bspline_basis

Function = Callable[[Tensor], Tensor]

# Nothing but the density decides where the knots go.
BARE = Placement(uniform_mix=0.0, margin=0.0, least_gap=1e-3)


def only_layer(network: KAN) -> KANLayer:
    (layer,) = network.layers
    return layer


def spline_of(f: Function, span: tuple[float, float], grid_size: int, degree: int = 3) -> KAN:
    """A KAN of one edge that is the least-squares spline of f, without base branch."""
    network = KAN(
        [1, 1], grid_size=grid_size, spline_order=degree, grid_range=span, dtype=torch.float64
    )
    layer = only_layer(network)
    x = torch.linspace(*span, 20 * grid_size + 1, dtype=torch.float64).unsqueeze(1)
    fitted = torch.linalg.lstsq(bspline_basis(x, layer.knots, degree)[:, 0], f(x)).solution
    with torch.no_grad():
        layer.edge_scale.fill_(1)
        layer.base_weight.zero_()
        layer.bias.zero_()
        layer.coefficients.copy_(fitted.T.unsqueeze(0))
    return network


def weights_of(layer: KANLayer, x: Tensor, density: ImportanceDensity | None = None) -> Tensor:
    return (density or DeBoorDensity())(ImportanceContext(layer, x, layer, x))


def even_points(low: float, high: float, count: int) -> Tensor:
    return torch.linspace(low, high, count, dtype=torch.float64).unsqueeze(1)


# -- what it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_of_the_exponential_the_density_is_that_of_its_own_derivative(degree: int) -> None:
    layer = only_layer(spline_of(torch.exp, (0, 3), 30, degree))
    x = even_points(0, 3, 401)
    got = weights_of(layer, x)[1:-1, 0]  # the cells at the ends are half as wide
    expected = torch.exp(x[1:-1, 0] / (degree + 1))
    ratio = got / expected
    # Piecewise constant on intervals of 0.1, so within exp(±0.05/(k+1)) of it, and a bit more.
    assert float(ratio.max() / ratio.mean()) < 1.05
    assert float(ratio.min() / ratio.mean()) > 0.95


def test_knots_of_the_exponential_are_where_theory_has_them() -> None:
    network, x = spline_of(torch.exp, (0, 3), 40), even_points(0, 3, 3001)
    report = adapt_grids(network, x, DeBoorDensity(), 8, placement=BARE)
    share = torch.arange(9, dtype=torch.float64) / 8
    expected = 4 * torch.log1p(share * (math.exp(0.75) - 1))  # equal parts of ∫ exp(x/4)
    got = report.layers[0].new_breakpoints[0]
    torch.testing.assert_close(got, expected, rtol=0, atol=0.01)


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_it_is_newnot_on_any_knots_for_several_edges(degree: int) -> None:
    generator = torch.Generator().manual_seed(5)
    layer = KANLayer(
        2, 3, grid_size=6, spline_order=degree, dtype=torch.float64, generator=generator
    )
    widths = torch.rand(2, 6, generator=generator, dtype=torch.float64) + 0.2
    breakpoints = torch.cat([torch.zeros(2, 1, dtype=torch.float64), widths.cumsum(1)], dim=1)
    coefficients = torch.randn(3, 2, 6 + degree, generator=generator, dtype=torch.float64)
    layer.set_grid(layer.knots_for(breakpoints), coefficients)
    with torch.no_grad():
        layer.edge_scale.copy_(torch.rand(3, 2, generator=generator) + 0.5)
    epsilon, inner = 0.03, 50  # samples inside each interval, none at its ends
    for p in range(2):
        t = breakpoints[p].numpy()
        size = np.zeros(6)
        for q in range(3):
            c = float(layer.edge_scale[q, p].detach()) * coefficients[q, p].numpy()
            highest = BSpline(layer.knots[p].numpy(), c, degree).derivative(degree)
            jump = np.abs(np.diff(highest((t[1:] + t[:-1]) / 2)))
            slope = jump / (t[2:] - t[:-2])
            size += np.concatenate([slope[:1], slope]) + np.concatenate([slope, slope[-1:]])
        mean = (size * np.diff(t)).sum() / (t[-1] - t[0])
        mass = (size / mean + epsilon) ** (1 / (degree + 1)) * np.diff(t)
        place = (np.arange(inner) + 0.5) / inner
        x = torch.from_numpy((t[:-1, None] + np.diff(t)[:, None] * place).reshape(-1, 1))
        got = weights_of(layer, x.expand(-1, 2), DeBoorDensity(epsilon))[:, p].view(6, inner).sum(1)
        # What lies between the samples on both sides of a breakpoint goes to either interval.
        np.testing.assert_allclose(got / got.sum(), mass / mass.sum(), rtol=0.03)


@pytest.mark.parametrize("grid_size", [10, 20])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: torch.exp(-200 * x**2) + 0.3 * torch.sin(3 * x),
        lambda x: torch.tanh(50 * (x - 0.3)),
        lambda x: (x + 1.0001).sqrt(),
    ],
    ids=["peak", "front", "root"],
)
def test_splines_on_its_knots_are_several_times_better_than_on_even_ones(
    f: Function, grid_size: int
) -> None:
    fine, x, errors = spline_of(f, (-1, 1), 400), even_points(-1, 1, 4001), []
    for density in (InputDensity(), DeBoorDensity()):
        network = copy.deepcopy(fine)
        adapt_grids(network, x, density, grid_size, placement=BARE)
        with torch.no_grad():
            errors.append(float((network(x) - fine(x)).abs().max()))
    assert errors[1] < errors[0] / 5


# -- a density in x -----------------------------------------------------------------------------


def test_knots_hardly_depend_on_the_samples_own_density() -> None:
    fine = spline_of(lambda x: torch.sin(6 * x) * torch.exp(x), (-1, 1), 40)
    u = torch.rand(4000, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    moves = {}
    for density in (InputDensity(), DeBoorDensity()):
        grids = []
        for x in (2 * u - 1, 2 * u**3 - 1):
            x[0], x[1] = -1, 1
            report = adapt_grids(copy.deepcopy(fine), x, density, 10, placement=BARE)
            grids.append(report.layers[0].new_breakpoints)
        moves[type(density)] = float((grids[1] - grids[0]).abs().max())
    assert moves[InputDensity] > 0.5
    assert moves[DeBoorDensity] < 0.02


def test_samples_of_equal_value_share_the_weight_of_one() -> None:
    layer = only_layer(spline_of(torch.exp, (0, 3), 12))
    once = torch.tensor([0.1, 0.5, 0.9, 1.7, 2.8], dtype=torch.float64).unsqueeze(1)
    times = torch.tensor([1, 4, 2, 1, 3])
    alone = weights_of(layer, once)[:, 0] / 5  # weights have mean one
    many = weights_of(layer, once.repeat_interleave(times, dim=0))[:, 0] / int(times.sum())
    torch.testing.assert_close(many, (alone / times).repeat_interleave(times))


def test_the_density_of_the_end_intervals_goes_on_beyond_the_grid() -> None:
    layer = only_layer(spline_of(torch.exp, (0, 3), 12))
    x = even_points(-1, 4, 501)
    weights = weights_of(layer, x)[1:-1, 0]
    inside = x[1:-1, 0]
    torch.testing.assert_close(
        weights[inside < 0.2].std(), torch.zeros(()).double(), atol=1e-9, rtol=0
    )
    torch.testing.assert_close(
        weights[inside > 2.8].std(), torch.zeros(()).double(), atol=1e-9, rtol=0
    )
    assert float(weights[-1] / weights[0]) > 1.5


# -- what has no knots to follow ----------------------------------------------------------------


def test_the_base_branch_is_left_out() -> None:
    network, x = spline_of(torch.exp, (0, 3), 12), even_points(0, 3, 200)
    layer = only_layer(network)
    alone = weights_of(layer, x)
    with torch.no_grad():
        layer.base_weight.fill_(5.0)
    assert torch.equal(weights_of(layer, x), alone)


def test_the_edge_s_scale_counts() -> None:
    layer = KANLayer(1, 2, grid_size=8, dtype=torch.float64)
    x = even_points(-1, 1, 200)
    with torch.no_grad():
        layer.edge_scale[0] = 0
        second = weights_of(layer, x)
        layer.edge_scale.copy_(torch.tensor([[1.0], [0.0]]))
        first = weights_of(layer, x)
        layer.coefficients[1] = layer.coefficients[0]
        layer.edge_scale.copy_(torch.tensor([[0.0], [-3.0]]))
    assert not torch.allclose(first, second, rtol=0.1)
    torch.testing.assert_close(weights_of(layer, x), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["32", "64"])
@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_polynomials_say_nothing_however_often_they_are_refitted(
    degree: int, dtype: torch.dtype
) -> None:
    network = KAN(
        [1, 1], grid_size=3, spline_order=degree, grid_range=(0.0, 1.0), dtype=torch.float64
    )
    layer = only_layer(network)
    with torch.no_grad():
        layer.edge_scale.fill_(1)
        layer.base_weight.zero_()
        # The coefficients of x^k are products of k knots (Marsden).
        layer.coefficients.copy_(layer.knots[:, 1:-1].unfold(1, degree, 1).prod(-1))
    network.to(dtype)
    x = torch.rand(300, 1, generator=torch.Generator().manual_seed(6), dtype=dtype)
    x[0], x[1] = 0, 1  # the grid stays what it was: beyond it the polynomial has ended
    skewed = ImportanceContext(layer, x**3, network, x**3)
    for samples, grid_size in ((x, 4), (1 - x, 7)):
        adapt_grids(network, samples, InputDensity(), grid_size, placement=Placement(margin=0.0))
        assert not DeBoorDensity()(skewed).any()


@pytest.mark.parametrize("grid_size", [1, 2])
def test_one_interval_says_nothing_and_two_say_that_they_are_alike(grid_size: int) -> None:
    layer = KANLayer(1, 1, grid_size=grid_size, dtype=torch.float64)
    weights = weights_of(layer, even_points(-1, 1, 101))
    if grid_size == 1:
        assert not weights.any()
    else:
        torch.testing.assert_close(weights[1:-1], weights[1:-1].mean().expand(99, 1))


def test_features_that_say_nothing_leave_the_others_alone() -> None:
    layer = KANLayer(3, 2, grid_size=6, dtype=torch.float64)
    with torch.no_grad():
        layer.coefficients[:, 1] = 0
    x = even_points(-1, 1, 100).repeat(1, 3)
    x[:, 2] = 0.5
    weights = weights_of(layer, x)
    assert not weights[:, 1:].any()
    torch.testing.assert_close(weights[:, 0].mean(), torch.ones((), dtype=torch.float64))


def test_coefficients_that_have_diverged_undo_the_adaptation() -> None:
    network = KAN([2, 3, 1], dtype=torch.float64)
    layer = network.layers[0]
    with torch.no_grad():
        layer.coefficients[0, 1, 2] = math.nan
    before = layer.knots.clone()
    with pytest.raises(ValueError, match="weights must be finite"):
        adapt_grids(network, even_points(-1, 1, 50).repeat(1, 2), DeBoorDensity(), 6)
    assert torch.equal(layer.knots, before)


@pytest.mark.parametrize("epsilon", [-1e-9, math.inf, math.nan])
def test_an_epsilon_that_cannot_be_is_refused(epsilon: float) -> None:
    with pytest.raises(ConfigurationError, match="epsilon must be at least 0, got"):
        DeBoorDensity(epsilon)


@pytest.mark.parametrize("epsilon", [0, 1e3])
def test_a_large_epsilon_spreads_the_knots_evenly_in_x_not_over_the_samples(epsilon: float) -> None:
    u = torch.rand(4000, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x = 3 * u**2
    x[0], x[1] = 0, 3
    network = spline_of(torch.exp, (0, 3), 40)
    report = adapt_grids(network, x, DeBoorDensity(epsilon), 6, placement=BARE)
    widths = report.layers[0].new_breakpoints.diff(dim=1)
    even = bool(((widths - 0.5).abs() < 0.03).all())
    assert even == (epsilon > 1)
