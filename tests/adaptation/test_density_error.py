"""The density that gives each interval the same share of the loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kanlit.adaptation import ErrorDensity, ImportanceContext, Placement, adapt_grids
from kanlit.adaptation.density.cells import interval_sums
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, KANLayer
from kanlit.splines import bspline_basis, sorted_order

# Nothing but the density decides where the knots go.
BARE = Placement(uniform_mix=0.0, margin=0.0, least_gap=1e-3)
GRID = torch.tensor([[0.0, 0.05, 0.1, 0.3, 0.4, 0.8, 1.0]], dtype=torch.float64)


def layer_of(network: KAN) -> KANLayer:
    (layer,) = network.layers
    return layer


def network_on(breakpoints: Tensor) -> KAN:
    network = KAN([1, 1], grid_size=breakpoints.shape[1] - 1, dtype=torch.float64)
    layer = layer_of(network)
    layer.set_grid(layer.knots_for(breakpoints), layer.coefficients.detach())
    return network


def even_points(count: int) -> Tensor:
    return torch.linspace(0, 1, count, dtype=torch.float64).unsqueeze(1)


def sums_of(x: Tensor, losses: Tensor, breakpoints: Tensor) -> Tensor:
    return interval_sums(breakpoints, losses, x.T, sorted_order(x))


def test_knots_stay_where_every_interval_has_the_same_loss() -> None:
    x, network = even_points(4001), network_on(GRID)
    interval = torch.bucketize(x[:, 0], GRID[0, 1:-1])
    losses = 1 / GRID[0].diff()[interval]  # a rate of loss in x that each width compensates
    report = adapt_grids(network, x, ErrorDensity(), 6, placement=BARE, sample_losses=losses)
    got = report.layers[0].new_breakpoints
    torch.testing.assert_close(got, GRID, rtol=0, atol=5e-4)


def test_an_interval_of_twice_the_width_gets_the_knots_that_its_error_calls_for() -> None:
    # Two equal intervals, the left one with 2^9 times the loss: by the rate 2 and the exponent
    # 1/9 of cubic splines, the left half holds 4 of 5 parts of the density.
    x, network = even_points(20001), network_on(torch.tensor([[0.0, 0.5, 1.0]]).double())
    losses = torch.where(x[:, 0] < 0.5, 512.0, 1.0)
    report = adapt_grids(network, x, ErrorDensity(0), 5, placement=BARE, sample_losses=losses)
    expected = torch.tensor([0.0, 0.125, 0.25, 0.375, 0.5, 1.0], dtype=torch.float64)
    got = report.layers[0].new_breakpoints[0]
    torch.testing.assert_close(got, expected, rtol=0, atol=5e-4)


def fitted(layer: KANLayer, x: Tensor, y: Tensor) -> Tensor:
    """Gives the layer the least-squares spline of y; returns the losses of the samples."""
    basis = bspline_basis(x, layer.knots, layer.spline_order)[:, 0]
    ridge = 1e-7 * torch.eye(basis.shape[1], dtype=basis.dtype)
    rows, values = torch.cat([basis, ridge]), torch.cat([y, torch.zeros_like(ridge[:, :1])])
    solution = torch.linalg.lstsq(rows, values).solution
    with torch.no_grad():
        layer.edge_scale.fill_(1)
        layer.base_weight.zero_()
        layer.bias.zero_()
        layer.coefficients.copy_(solution.T.unsqueeze(0))
        return (layer(x) - y).square().sum(1)


def test_twelve_intervals_find_a_jump_that_uniform_knots_do_not_resolve() -> None:
    x = torch.rand(2000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = torch.tanh((x - 0.3) / 0.002)
    network = KAN([1, 1], grid_size=12, grid_range=(0.0, 1.0), dtype=torch.float64)
    layer = layer_of(network)
    losses = fitted(layer, x, y)
    uniform = best = float(losses.mean())
    for _ in range(12):
        adapt_grids(network, x, ErrorDensity(), placement=BARE, sample_losses=losses)
        losses = fitted(layer, x, y)
        best = min(best, float(losses.mean()))
    assert best < 1e-4 * uniform  # of the squared error


def test_sums_over_intervals_are_those_of_the_samples_in_them() -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(50, 2, dtype=torch.float64, generator=generator)
    losses = torch.rand(50, dtype=torch.float64, generator=generator)
    middles = (x.sort(0).values[1:] + x.sort(0).values[:-1]).T / 2
    zero = torch.zeros(2, 1, dtype=torch.float64)
    breakpoints = torch.cat([zero, middles[:, [4, 9, 30]], zero + 1], dim=1)
    got = sums_of(x, losses, breakpoints)
    for p in range(2):
        interval = torch.bucketize(x[:, p].contiguous(), breakpoints[p, 1:-1])
        expected = torch.zeros(4, dtype=torch.float64).scatter_add(0, interval, losses)
        torch.testing.assert_close(got[p], expected)


def test_every_loss_counts_once_also_of_equal_samples_and_beyond_the_grid() -> None:
    x = torch.tensor([[-3.0], [0.1], [0.1], [0.1], [0.3], [5.0]], dtype=torch.float64)
    losses = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], dtype=torch.float64)
    got = sums_of(x, losses, GRID)
    assert float(got.sum()) == pytest.approx(63)
    assert float(got[0, 0]) >= 1
    assert float(got[0, -1]) >= 16


def test_what_it_lacks_is_named_with_the_cure() -> None:
    network, x = network_on(GRID), even_points(10)
    context = ImportanceContext(layer_of(network), x, network, x)
    with pytest.raises(ConfigurationError, match="ErrorDensity needs the loss of each sample"):
        ErrorDensity()(context)
    with pytest.raises(ConfigurationError, match="epsilon must be at least 0, got -1"):
        ErrorDensity(-1)
