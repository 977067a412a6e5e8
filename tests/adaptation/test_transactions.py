"""An adaptation that hurts is refused, in words that name the layer, and leaves nothing behind."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kanlit.adaptation import (
    ImportanceContext,
    ImportanceDensity,
    InputDensity,
    Placement,
    adapt_grids,
    kan_layers,
)
from kanlit.nn import KAN, KANLayer


def points() -> Tensor:
    return 2 * torch.rand(200, 2, generator=torch.Generator().manual_seed(5)) - 1


def losses(*values: float) -> Any:
    given = iter(values)
    return lambda: torch.tensor(next(given), dtype=torch.float64)


def assert_whole(network: nn.Module, state: dict[str, Tensor]) -> None:
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("extension", ["replace", "insert"])
@pytest.mark.parametrize(
    ("before", "after", "settings", "refused"),
    [
        (1.0, 9.9, {}, False),
        (1.0, 10.1, {}, True),
        (1.0, math.nan, {}, True),
        (1.0, math.inf, {}, True),
        (1.0, math.nan, {"max_loss_growth": math.inf}, True),
        (0.0, 5.0, {"max_loss_growth": math.inf}, False),
        (0.0, 0.0, {}, False),
        (0.0, 1e-9, {}, True),
        (1e-12, 1e-4, {"least_loss": 1e-4}, False),
        (1e-12, 1.1e-3, {"least_loss": 1e-4}, True),
        (1e-12, 1e-4, {"least_loss": math.nan}, True),
        (-1.0, -1.0, {}, False),
        (-1.0, -2.0, {}, False),
        (math.nan, 1.0, {}, False),
        (math.nan, math.nan, {}, False),
        (math.inf, math.inf, {}, False),
    ],
)
def test_a_loss_that_grows_beyond_the_factor_is_refused_and_nothing_else(
    before: float, after: float, settings: dict[str, float], refused: bool, extension: Any
) -> None:
    network = KAN([2, 3, 1])
    state = copy.deepcopy(network.state_dict())
    settings = {"max_loss_growth": 10.0, **settings}

    def adapt() -> None:
        adapt_grids(
            network,
            points(),
            InputDensity(),
            6,
            placement=Placement(extension=extension),
            loss=losses(before, after, after),
            **settings,
        )

    if not refused:
        adapt()
        assert {layer.grid_size for layer in kan_layers(network).values()} == {6}
        return
    with pytest.raises(
        ValueError, match=r"the loss grew from .* largest refit error is .* in layer"
    ):
        adapt()
    assert_whole(network, state)


class Counting(InputDensity):
    """The second call of an adaptation weighs otherwise than the first; remembers its calls."""

    calls = 0

    def __call__(self, context: ImportanceContext) -> Tensor:
        self.calls += 1
        return context.layer_input[:, 0].abs() ** self.calls

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.calls = state["calls"]


def extended(extension: Any, grid_size: int = 6, **settings: Any) -> tuple[Any, Any, Any]:
    """A network's state after it, its report, and its density."""
    torch.manual_seed(4)
    network, density = KAN([2, 3, 1]), Counting()
    placement = Placement(extension=extension)
    report = adapt_grids(network, points(), density, grid_size, placement=placement, **settings)
    return network.state_dict(), report, density


@pytest.mark.parametrize("limit", [{"insert_above": 1.01}, {"max_loss_growth": 1.01}])
@pytest.mark.parametrize("after", [1.02, math.nan, math.inf])
def test_an_extension_that_costs_too_much_is_the_insertion_to_the_last_bit(
    after: float, limit: dict[str, float]
) -> None:
    state, report, density = extended("replace", loss=losses(1.0, after, 1.0), **limit)
    inserted, plain, _ = extended("insert")
    replaced, _, _ = extended("replace")
    assert all(torch.equal(value, inserted[name]) for name, value in state.items())
    assert any(not torch.equal(value, replaced[name]) for name, value in state.items())
    assert density.calls == 2  # its state too is that of one adaptation
    assert report.refit_error == plain.refit_error < 1e-5
    assert (report.loss_before, report.loss_after) == (1.0, 1.0)
    assert report.loss_replaced == pytest.approx(after, nan_ok=True)


@pytest.mark.parametrize(
    ("grid_size", "settings"),
    [
        (6, {"loss": losses(1.0, 1.005), "insert_above": 1.01}),
        (6, {"loss": losses(1.0, 0.9), "insert_above": 1.0}),
        (6, {"loss": losses(1.0, 5.0)}),
        (6, {"loss": losses(math.nan, 5.0), "insert_above": 1.01}),
        (6, {"insert_above": 1.01}),
        (3, {"loss": losses(1.0, 5.0), "insert_above": 1.01}),  # extends nothing
    ],
)
def test_any_other_keeps_its_replaced_knots(grid_size: int, settings: dict[str, Any]) -> None:
    state, report, _ = extended("replace", grid_size, **settings)
    replaced, _, _ = extended("replace", grid_size)
    assert all(torch.equal(value, replaced[name]) for name, value in state.items())
    assert report.loss_replaced is None


def test_an_insertion_in_their_place_that_fails_too_leaves_nothing_behind() -> None:
    network = KAN([2, 3, 1])
    state = copy.deepcopy(network.state_dict())
    given = {"loss": losses(1.0, 2.0, 50.0), "insert_above": 1.01, "max_loss_growth": 10.0}
    with pytest.raises(ValueError, match=r"the loss grew from 1.00e\+00 to 5.00e\+01"):
        adapt_grids(network, points(), InputDensity(), 6, **given)
    assert_whole(network, state)


class Divides(nn.Module):
    """Divides by zero as soon as G is another than at first."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = KANLayer(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) / torch.tensor(float(self.layer.grid_size == 3))


def test_an_output_that_is_no_longer_finite_is_refused_without_a_loss_too() -> None:
    network = Divides()
    state = copy.deepcopy(network.state_dict())
    with pytest.raises(
        ValueError, match=r"no longer finite; the largest refit error is .* in layer lay"
    ):
        adapt_grids(network, points(), InputDensity(), 6)
    assert_whole(network, state)


class FailsAtSecond(Counting):
    def __call__(self, context: ImportanceContext) -> Tensor:
        weights = super().__call__(context)
        if self.calls == 4:
            raise KeyboardInterrupt
        return weights


@pytest.mark.parametrize("grid_size", [None, 6])
def test_density_and_gradients_are_as_before_after_a_failure(grid_size: int | None) -> None:
    network, density = KAN([2, 3, 1]), FailsAtSecond()
    adapt_grids(network, points(), density)
    network(points()).square().sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    expected = [gradient.clone() for gradient in gradients if gradient is not None]
    with pytest.raises(KeyboardInterrupt):
        adapt_grids(network, points(), density, grid_size)
    assert density.calls == 2
    for parameter, gradient, value in zip(network.parameters(), gradients, expected, strict=True):
        assert parameter.grad is gradient
        assert torch.equal(value, gradient)


@pytest.mark.parametrize("grid_size", [None, 6])
def test_gradients_of_the_old_knots_are_dropped_and_no_others(grid_size: int | None) -> None:
    network = KAN([2, 3, 1])
    network(points()).square().sum().backward()
    adapt_grids(network, points(), InputDensity(), grid_size)
    kept = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    splines = {f"{name}.coefficients" for name in kan_layers(network)}
    assert kept == {name for name, _ in network.named_parameters()} - splines


class Infinite(ImportanceDensity):
    def __init__(self, place: int) -> None:
        self.place = place
        self.calls = 0

    def __call__(self, context: ImportanceContext) -> Tensor:
        weights = torch.ones(len(context.layer_input))
        weights[0] = math.inf if self.calls == self.place else 1.0
        self.calls += 1
        return weights


@pytest.mark.parametrize("place", [0, 1])
def test_the_layer_that_failed_is_named(place: int) -> None:
    network = KAN([2, 3, 1])
    state = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match=rf"^layer layers\.{place}: importance weights must be"):
        adapt_grids(network, points(), Infinite(place), 6)
    assert_whole(network, state)


def test_a_layer_by_itself_is_named_by_its_class() -> None:
    with pytest.raises(ValueError, match=r"^layer KANLayer: importance weights must be"):
        adapt_grids(KANLayer(2, 1), points(), Infinite(0), 6)


def test_a_network_that_does_not_use_its_layers_is_refused_in_words() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = KANLayer(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(ValueError, match="no KANLayer is used in the network's forward"):
        adapt_grids(Idle(), points(), InputDensity(), 6)


def test_a_network_that_gave_nan_before_may_be_adapted_where_its_samples_are_finite() -> None:
    network = KAN([2, 1])
    (layer,) = kan_layers(network).values()
    with torch.no_grad():
        layer.bias.fill_(math.nan)
    adapt_grids(network, points(), InputDensity(), 6, loss=losses(math.nan, math.nan))
    assert layer.grid_size == 6
