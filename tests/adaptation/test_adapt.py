"""An adaptation keeps the function, is all or nothing, and reports what it did."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kanlit.adaptation import (
    CurvatureDensity,
    ImportanceContext,
    ImportanceDensity,
    InputDensity,
    Placement,
    adapt_grids,
    kan_layers,
)
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, KANLayer
from kanlit.splines import insert_knots, project, weighted_quantile_breakpoints


class Skip(nn.Module):
    """Residual connections, a linear layer between, and layers registered out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.last = KANLayer(4, 2)
        self.middle = KANLayer(4, 4, spline_order=2)
        self.lift = KANLayer(2, 4)
        self.mix = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        z = self.lift(x)
        z = z + self.middle(torch.tanh(self.mix(z)))
        return self.last(z) + x


class Shared(nn.Module):
    """One layer used twice in a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = KANLayer(2, 2)
        self.head = KANLayer(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.layer(x)))


# A new architecture joins this list and must meet every law of any network.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "KAN": lambda: KAN([2, 4, 3, 1]),
    "KAN, zero outside": lambda: KAN([2, 4, 1], outside="zero"),
    "KAN of degree 5": lambda: KAN([2, 3, 1], spline_order=5),
    "Sequential": lambda: nn.Sequential(KANLayer(2, 3), nn.LayerNorm(3), KANLayer(3, 1)),
    "residual connections": Skip,
    "shared layer": Shared,
    "one layer": lambda: KANLayer(2, 2, grid_size=5),
}
each_network = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS.keys())
each_extension = pytest.mark.parametrize("extension", ["replace", "insert"])


def points(count: int = 200, dtype: torch.dtype = torch.float64, width: float = 2.4) -> Tensor:
    """``(n, 2)`` around 0; a few lie outside the first grid, [-1, 1]."""
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    return (width * x - width / 2).to(dtype)


def output(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return network(x)


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


def assert_same(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Bit by bit; NaN is the same as NaN."""
    now = network.state_dict()
    assert now.keys() == state.keys()
    for name, tensor in now.items():
        assert tensor.dtype == state[name].dtype
        torch.testing.assert_close(
            tensor, state[name], rtol=0, atol=0, equal_nan=True, msg=partial("{}: {}".format, name)
        )


def norm_change(before: Tensor, after: Tensor) -> float:
    return float((after - before).norm() / before.norm())


class Spike(ImportanceDensity):
    """All importance on a few samples, for each feature others."""

    def __call__(self, context: ImportanceContext) -> Tensor:
        weights = torch.zeros_like(context.layer_input)
        for feature in range(weights.shape[1]):
            weights[feature : feature + 2, feature] = 1.0
        return weights


# -- the function -------------------------------------------------------------------------------


@each_network
def test_inserted_knots_leave_the_function_exactly_as_it_is(
    make: Callable[[], nn.Module],
) -> None:
    network = make().double()
    # Where splines fade to zero outside, their exterior knots move with the end intervals.
    zero = any(layer.outside == "zero" for layer in kan_layers(network).values())
    x = points(width=0.4 if zero else 2.4)
    before = output(network, x)
    report = adapt_grids(network, x, CurvatureDensity(), 9, placement=Placement(extension="insert"))
    assert all(layer.grid_size == 9 for layer in kan_layers(network).values())
    torch.testing.assert_close(output(network, x), before, rtol=1e-12, atol=1e-12)
    assert report.refit_error < 1e-12


@each_network
def test_inserted_knots_keep_all_old_breakpoints(make: Callable[[], nn.Module]) -> None:
    network = make().double()
    report = adapt_grids(network, points(), Spike(), 11, placement=Placement(extension="insert"))
    for adapted in report.layers:
        for old, new in zip(adapted.old_breakpoints, adapted.new_breakpoints, strict=True):
            assert set(old.tolist()) <= set(new.tolist())
            assert old[0] == new[0]
            assert old[-1] == new[-1]


@each_network
def test_replaced_knots_keep_the_function_within_a_small_error(
    make: Callable[[], nn.Module],
) -> None:
    network = make().double()
    x = points()
    before = output(network, x)
    adapt_grids(network, x, InputDensity(), 48)
    # Outside the grid a spline that fades over its exterior knots changes with them.
    zero = any(layer.outside == "zero" for layer in kan_layers(network).values())
    assert norm_change(before, output(network, x)) < (0.1 if zero else 0.01)


def test_the_finer_the_grid_the_better_the_function_is_kept() -> None:
    x = points()
    errors = []
    for grid_size in (6, 24, 96):
        torch.manual_seed(1)
        network = KAN([2, 5, 1], dtype=torch.float64)
        errors.append(adapt_grids(network, x, InputDensity(), grid_size).refit_error)
    assert errors[1] < errors[0] / 4
    assert errors[2] < errors[1] / 4


def test_knots_that_stay_where_they_are_keep_the_function_to_rounding() -> None:
    network = KAN([2, 5, 1], dtype=torch.float64)
    x = points()
    placement = Placement(uniform_mix=0.5)
    adapt_grids(network, x, InputDensity(), 6, placement=placement)
    # The first layer's samples are the same again, and so are its knots.
    report = adapt_grids(network, x, InputDensity(), placement=placement)
    assert torch.equal(report.layers[0].old_breakpoints, report.layers[0].new_breakpoints)
    assert report.layers[0].refit_error < 1e-12


@pytest.mark.parametrize("refit", ["projection", "samples"])
def test_both_refits_keep_the_function_on_the_samples(refit: str) -> None:
    network = KAN([2, 5, 1], dtype=torch.float64)
    x = points(1000)
    placement = Placement(refit=refit)  # type: ignore[arg-type]
    assert adapt_grids(network, x, InputDensity(), 20, placement=placement).refit_error < 0.02


def test_refit_on_samples_is_nearest_on_the_samples() -> None:
    errors = {}
    for refit in ("projection", "samples"):
        torch.manual_seed(0)
        layer = KANLayer(2, 1, grid_size=9, dtype=torch.float64)
        placement = Placement(refit=refit)  # type: ignore[arg-type]
        report = adapt_grids(layer, points(), InputDensity(), 4, placement=placement)
        errors[refit] = report.refit_error
    assert errors["samples"] < errors["projection"]


# -- layer by layer -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["32", "64"])
@pytest.mark.parametrize("per_layer", [False, True], ids=["input", "layer curvature"])
def test_each_layer_sees_its_input_as_the_adapted_layers_before_it_give_it(
    dtype: torch.dtype, per_layer: bool
) -> None:
    network = KAN([2, 4, 3, 1], dtype=dtype)
    by_hand = copy.deepcopy(network)
    x = points(dtype=dtype)
    density = CurvatureDensity("layer") if per_layer else InputDensity()
    report = adapt_grids(network, x, density, 7)

    z = x
    for layer, adapted in zip(by_hand.layers, report.layers, strict=True):
        with torch.no_grad():
            weights = density(ImportanceContext(layer, z, by_hand, x))
            breakpoints = weighted_quantile_breakpoints(
                z, weights, 7, uniform_mix=0.2, least_gap=0.01, margin=0.01
            )
            knots = layer.knots_for(breakpoints)
            layer.set_grid(knots, project(layer.coefficients, layer.knots, knots, 3))
            assert torch.equal(adapted.samples, z)
            assert torch.equal(adapted.weights, weights)
            z = layer(z)
    for one, two in zip(network.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(one, two)
    for knots, own in zip(network.buffers(), by_hand.buffers(), strict=True):
        assert torch.equal(knots, own)


def test_layers_between_carry_the_samples_to_the_next_grid() -> None:
    network = Skip()
    x = points(dtype=torch.float32)
    report = adapt_grids(network, x, InputDensity(), 6)
    seen = {adapted.name: adapted.samples for adapted in report.layers}
    with torch.no_grad():
        z = network.lift(x)
        between = torch.tanh(network.mix(z))
        torch.testing.assert_close(seen["middle"], between, rtol=0, atol=0)
        torch.testing.assert_close(seen["last"], z + network.middle(between), rtol=0, atol=0)


def test_density_of_network_scope_is_asked_once_before_any_layer_has_changed() -> None:
    network = KAN([2, 4, 3, 1])
    state = snapshot(network)

    class Once(ImportanceDensity):
        scope = "network"
        calls = 0

        def __call__(self, context: ImportanceContext) -> Tensor:
            self.calls += 1
            assert context.network is network
            assert context.network_input is x
            assert_same(network, state)
            return torch.linspace(0.1, 1, len(x))

    x, density = points(dtype=torch.float32), Once()
    report = adapt_grids(network, x, density, 6)
    assert density.calls == 1
    assert len(report.layers) == 3
    assert all(torch.equal(a.weights, report.layers[0].weights) for a in report.layers)


def test_density_of_layer_scope_is_asked_for_each_layer() -> None:
    network = KAN([2, 4, 3, 1])
    seen: list[tuple[KANLayer, tuple[int, ...], Tensor | None]] = []

    class Each(InputDensity):
        def __call__(self, context: ImportanceContext) -> Tensor:
            seen.append((context.layer, tuple(context.layer_input.shape), context.sample_losses))
            return super().__call__(context)

    losses = torch.rand(200)
    adapt_grids(network, points(dtype=torch.float32), Each(), 6, sample_losses=losses)
    assert [layer for layer, _, _ in seen] == list(network.layers)
    assert [shape for _, shape, _ in seen] == [(200, 2), (200, 4), (200, 3)]
    assert all(got is losses for _, _, got in seen)


@each_network
def test_a_shared_layer_is_adapted_once_to_what_it_sees_first(
    make: Callable[[], nn.Module],
) -> None:
    network = make()
    x = points(dtype=torch.float32)
    report = adapt_grids(network, x, InputDensity(), 6)
    names = [adapted.name for adapted in report.layers]
    assert sorted(names) == sorted(kan_layers(network))
    if isinstance(network, Shared):
        assert torch.equal(report.layers[0].samples, x)


def test_inputs_of_any_leading_shape_are_samples_one_by_one() -> None:
    layer = KANLayer(2, 1)
    flat = copy.deepcopy(layer)
    x = points(dtype=torch.float32)
    adapt_grids(layer, x.reshape(20, 10, 2), InputDensity(), 6)
    adapt_grids(flat, x, InputDensity(), 6)
    assert_same(layer, flat.state_dict())


# -- the knots ----------------------------------------------------------------------------------


@each_network
@pytest.mark.parametrize("density", [InputDensity(), CurvatureDensity("layer"), Spike()])
@pytest.mark.parametrize(
    ("mix", "gap"), [(0.0, 0.01), (0.0, 0.5), (0.2, 0.01), (0.6, 0.3), (1.0, 0.01), (0.0, 1.0)]
)
def test_no_interval_of_any_feature_is_narrower_than_the_mix_and_the_least_gap_say(
    make: Callable[[], nn.Module], density: ImportanceDensity, mix: float, gap: float
) -> None:
    network = make().double()
    placement = Placement(uniform_mix=mix, least_gap=gap)
    report = adapt_grids(network, points(), density, 8, placement=placement)
    for adapted in report.layers:
        widths = adapted.new_breakpoints.diff(dim=1)
        uniform = (adapted.new_breakpoints[:, -1:] - adapted.new_breakpoints[:, :1]) / 8
        assert (widths >= max(mix, gap) * uniform * (1 - 1e-9)).all(), adapted.name
        if max(mix, gap) == 1:
            torch.testing.assert_close(widths, uniform.expand_as(widths))


@each_network
@pytest.mark.parametrize("margin", [0.0, 0.01, 0.5])
def test_grid_reaches_past_the_samples_by_the_margin(
    make: Callable[[], nn.Module], margin: float
) -> None:
    network = make().double()
    report = adapt_grids(network, points(), InputDensity(), placement=Placement(margin=margin))
    for adapted in report.layers:
        low, high = adapted.samples.amin(0), adapted.samples.amax(0)
        past = margin * (high - low)
        torch.testing.assert_close(adapted.new_breakpoints[:, 0], low - past)
        torch.testing.assert_close(adapted.new_breakpoints[:, -1], high + past)


@each_network
def test_without_a_grid_size_each_layer_keeps_its_own(make: Callable[[], nn.Module]) -> None:
    network = make()
    sizes = [layer.grid_size for layer in kan_layers(network).values()]
    adapt_grids(network, points(dtype=torch.float32), InputDensity())
    assert [layer.grid_size for layer in kan_layers(network).values()] == sizes


@each_network
@each_extension
def test_grid_that_stays_in_size_moves_to_the_samples(
    make: Callable[[], nn.Module], extension: str
) -> None:
    network = make()
    x = points(dtype=torch.float32, width=8)
    placement = Placement(extension=extension)  # type: ignore[arg-type]
    for adapted in adapt_grids(network, x, InputDensity(), placement=placement).layers:
        assert adapted.new_breakpoints[:, 0].le(adapted.samples.amin(0)).all()
        assert adapted.new_breakpoints[:, -1].ge(adapted.samples.amax(0)).all()


@pytest.mark.parametrize(
    "inputs",
    [
        torch.zeros(50, 2),
        torch.tensor([[0.3, -0.2]]),
        torch.tensor([[0.0, 1.0], [1.0, 1.0]]).repeat(30, 1),
        torch.cat([torch.zeros(99, 2), torch.full((1, 2), 1e6)]),
    ],
    ids=["constant", "one sample", "ties", "outlier"],
)
@each_extension
@pytest.mark.parametrize("density", [InputDensity(), CurvatureDensity(), CurvatureDensity("layer")])
def test_hard_samples_give_rising_knots_and_a_finite_function(
    inputs: Tensor, extension: str, density: ImportanceDensity
) -> None:
    network = KAN([2, 4, 1])
    placement = Placement(extension=extension)  # type: ignore[arg-type]
    adapt_grids(network, inputs, density, 10, placement=placement)
    for layer in kan_layers(network).values():
        assert (layer.knots.diff(dim=1) > 0).all()
    assert torch.isfinite(output(network, inputs)).all()


# -- the network is otherwise as it was ---------------------------------------------------------


@each_network
@each_extension
@pytest.mark.parametrize("training", [False, True])
def test_parameters_stay_the_same_objects_and_only_splines_change(
    make: Callable[[], nn.Module], extension: str, training: bool
) -> None:
    network = make().train(training)
    objects = dict(network.named_parameters())
    state = snapshot(network)
    placement = Placement(extension=extension)  # type: ignore[arg-type]
    adapt_grids(network, points(dtype=torch.float32), CurvatureDensity(), 8, placement=placement)
    after = dict(network.named_parameters())
    assert list(after) == list(objects)
    assert all(after[name] is objects[name] for name in objects)
    assert all(p.requires_grad and p.is_leaf for p in after.values())
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32
        if not name.endswith(("knots", "coefficients")):
            assert torch.equal(tensor, state[name])
    assert network.training is training
    assert all(not m._forward_pre_hooks for m in network.modules())
    assert output(network, points(dtype=torch.float32)).isfinite().all()


def test_each_submodule_keeps_its_own_mode() -> None:
    network = nn.Sequential(KANLayer(2, 3), nn.Dropout(0.5), KANLayer(3, 1)).train()
    network[1].eval()  # as where a part is frozen
    adapt_grids(network, points(dtype=torch.float32), InputDensity(), 6)
    assert [m.training for m in network.modules()] == [True, True, False, True]


class Mode(InputDensity):
    def __init__(self, scope: Any) -> None:
        self.scope = scope
        self.training: list[bool] = []

    def __call__(self, context: ImportanceContext) -> Tensor:
        self.training.append(context.network.training)
        return super().__call__(context)


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_densities_see_the_network_in_evaluation_mode(scope: str) -> None:
    density = Mode(scope)
    adapt_grids(KAN([2, 3, 1]).train(), points(dtype=torch.float32), density, 6)
    assert not any(density.training)


def test_adaptation_with_dropout_and_batch_norm_leaves_statistics_and_generator_alone() -> None:
    network = nn.Sequential(
        nn.BatchNorm1d(2), KANLayer(2, 3), nn.Dropout(0.5), nn.BatchNorm1d(3), KANLayer(3, 1)
    ).train()
    state, generator = snapshot(network), torch.get_rng_state()
    adapt_grids(network, points(dtype=torch.float32), CurvatureDensity(), 6)
    assert torch.equal(torch.get_rng_state(), generator)
    for name, tensor in network.state_dict().items():
        if "running" in name or "batches" in name:
            assert torch.equal(tensor, state[name]), name


@each_network
def test_forward_hooks_of_others_are_left_in_place(make: Callable[[], nn.Module]) -> None:
    network = make()
    calls: list[nn.Module] = []
    for layer in kan_layers(network).values():
        layer.register_forward_pre_hook(lambda module, args: calls.append(module))
    adapt_grids(network, points(dtype=torch.float32), InputDensity(), 6)
    calls.clear()
    output(network, points(dtype=torch.float32))
    assert {id(m) for m in calls} == {id(m) for m in kan_layers(network).values()}


# -- all or nothing -----------------------------------------------------------------------------


class FailsAtSecond(InputDensity):
    """Weighs the first layer's samples well; at the second something goes wrong."""

    def __init__(self, fail: Callable[[Tensor], Tensor]) -> None:
        self.fail = fail
        self.calls = 0

    def __call__(self, context: ImportanceContext) -> Tensor:
        self.calls += 1
        weights = super().__call__(context)
        return self.fail(weights) if self.calls == 2 else weights


def _raise(error: BaseException) -> Callable[[Tensor], Tensor]:
    def fail(weights: Tensor) -> Tensor:
        raise error

    return fail


def _with_first(value: float) -> Callable[[Tensor], Tensor]:
    def fail(weights: Tensor) -> Tensor:
        weights[0] = value
        return weights

    return fail


FAILURES: dict[str, tuple[Callable[[Tensor], Tensor], type[BaseException]]] = {
    "a density that raises": (_raise(RuntimeError("no")), RuntimeError),
    "a density that lacks something": (_raise(ConfigurationError("no")), ConfigurationError),
    "Ctrl-C": (_raise(KeyboardInterrupt()), KeyboardInterrupt),
    "NaN weights": (_with_first(float("nan")), ValueError),
    "infinite weights": (_with_first(float("inf")), ValueError),
    "negative weights": (_with_first(-1.0), ValueError),
    "too few weights": (lambda weights: weights[:-1], ValueError),
}


def assert_untouched(
    network: nn.Module, state: dict[str, Tensor], objects: dict[str, nn.Parameter], before: Tensor
) -> None:
    assert_same(network, state)
    assert all(objects[name] is p for name, p in network.named_parameters())
    assert network.training
    assert all(not m._forward_pre_hooks for m in network.modules())
    x = points(dtype=torch.float32)
    torch.testing.assert_close(output(network, x), before, rtol=0, atol=0, equal_nan=True)


@each_extension
@pytest.mark.parametrize(
    "make", [lambda: KAN([2, 4, 1]), Skip, Shared], ids=["KAN", "residual", "shared"]
)
@pytest.mark.parametrize(("fail", "error"), FAILURES.values(), ids=FAILURES.keys())
def test_an_error_in_the_second_layer_leaves_every_layer_as_it_was(
    make: Callable[[], nn.Module],
    fail: Callable[[Tensor], Tensor],
    error: type[BaseException],
    extension: str,
) -> None:
    network = make().train()
    x = points(dtype=torch.float32)
    state, objects = snapshot(network), dict(network.named_parameters())
    before = output(network, x)
    placement = Placement(extension=extension)  # type: ignore[arg-type]
    density = FailsAtSecond(fail)
    with pytest.raises(error):
        adapt_grids(network, x, density, 8, placement=placement)
    assert density.calls == 2
    assert_untouched(network, state, objects, before)


@each_network
def test_a_loss_that_raises_afterwards_undoes_the_adaptation(
    make: Callable[[], nn.Module],
) -> None:
    network = make().train()
    x = points(dtype=torch.float32)
    state, objects = snapshot(network), dict(network.named_parameters())
    before, calls = output(network, x), []

    def loss() -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return torch.tensor(1.0)

    with pytest.raises(RuntimeError, match="out of memory"):
        adapt_grids(network, x, InputDensity(), 8, loss=loss)
    assert_untouched(network, state, objects, before)


@pytest.mark.parametrize("broken", ["lift", "middle", "last"])
def test_a_network_that_has_diverged_is_refused_and_left_as_it_was(broken: str) -> None:
    network = Skip().train()
    with torch.no_grad():
        network.get_submodule(broken).coefficients[0, 0, 0] = torch.nan  # type: ignore[index]
    x = points(dtype=torch.float32)
    state, objects = snapshot(network), dict(network.named_parameters())
    before = output(network, x)
    with pytest.raises(ValueError, match="NaN"):
        adapt_grids(network, x, InputDensity(), 8)
    assert_untouched(network, state, objects, before)


@each_network
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_samples_that_are_not_finite_are_refused(
    make: Callable[[], nn.Module], value: float
) -> None:
    network = make().train()
    x = points(dtype=torch.float32)
    state, objects = snapshot(network), dict(network.named_parameters())
    before = output(network, x)
    bad = x.clone()
    bad[7, 1] = value
    with pytest.raises(ValueError, match=r"NaN|finite"):
        adapt_grids(network, bad, InputDensity(), 8)
    assert_untouched(network, state, objects, before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"uniform_mix": -0.1}, "uniform_mix must be between"),
        ({"uniform_mix": 1.1}, "uniform_mix must be between"),
        ({"uniform_mix": float("nan")}, "uniform_mix must be between"),
        ({"least_gap": 0}, "least_gap must be above 0"),
        ({"least_gap": 1.1}, "least_gap must be above 0"),
        ({"margin": -0.1}, "margin must be at least 0"),
        ({"margin": float("inf")}, "margin must be at least 0"),
        ({"extension": "grow"}, "extension must be 'insert' or 'replace', got 'grow'"),
        ({"refit": "spline"}, "refit must be 'projection' or 'samples', got 'spline'"),
    ],
)
def test_a_placement_out_of_its_range_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Placement(**settings)


@pytest.mark.parametrize("grid_size", [0, -3])
def test_a_grid_size_under_one_is_refused(grid_size: int) -> None:
    network = KAN([2, 3, 1])
    with pytest.raises(ValueError, match="grid_size must be at least 1"):
        adapt_grids(network, points(dtype=torch.float32), InputDensity(), grid_size)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="n > 0"):
        adapt_grids(KAN([2, 3, 1]), torch.zeros(0, 2), InputDensity(), 6)


def test_a_network_without_kan_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="contains no KANLayer"):
        adapt_grids(nn.Linear(2, 1), points(dtype=torch.float32), InputDensity(), 6)


# -- the report ---------------------------------------------------------------------------------


@each_network
@each_extension
def test_report_s_numbers_are_those_computed_by_hand(
    make: Callable[[], nn.Module], extension: str
) -> None:
    network = make().double()
    old = copy.deepcopy(network)
    x = points()
    placement = Placement(extension=extension)  # type: ignore[arg-type]

    def loss() -> Tensor:
        return network(x).square().mean()

    report = adapt_grids(network, x, InputDensity(), 7, placement=placement, loss=loss)
    before, after = output(old, x), output(network, x)
    assert report.refit_error == pytest.approx(norm_change(before, after), abs=1e-15)
    assert report.loss_before == pytest.approx(float(before.square().mean()), rel=1e-12)
    assert report.loss_after == pytest.approx(float(after.square().mean()), rel=1e-12)
    assert report.grid_size == 7
    assert report.seconds > 0
    layers, old_layers = kan_layers(network), kan_layers(old)
    for adapted in report.layers:
        layer, was = layers[adapted.name], old_layers[adapted.name]
        assert torch.equal(adapted.old_breakpoints, was.breakpoints)
        assert torch.equal(adapted.new_breakpoints, layer.breakpoints)
        assert adapted.grid_size == 7
        first, second = output(was, adapted.samples), output(layer, adapted.samples)
        assert adapted.refit_error == pytest.approx(norm_change(first, second), abs=1e-14)
        outside = sum(
            not was.breakpoints[feature, 0] <= value <= was.breakpoints[feature, -1]
            for row in adapted.samples
            for feature, value in enumerate(row)
        )
        assert adapted.out_of_range == pytest.approx(outside / adapted.samples.numel())
    assert report.out_of_range == max(adapted.out_of_range for adapted in report.layers)


def test_share_of_inputs_outside_the_grid_is_counted() -> None:
    x = torch.tensor([[0.0, 1.0], [1.1, -1.0], [0.5, -3.0], [0.2, 0.2]])
    report = adapt_grids(KANLayer(2, 1), x, InputDensity())
    assert report.out_of_range == 0.25


def test_report_without_a_loss_has_none() -> None:
    report = adapt_grids(KANLayer(2, 1), points(dtype=torch.float32), InputDensity())
    assert report.loss_before is None
    assert report.loss_after is None


def test_report_keeps_the_old_knots_and_the_samples_when_the_network_goes_on() -> None:
    network = KAN([2, 3, 1])
    x = points(dtype=torch.float32)
    report = adapt_grids(network, x, InputDensity(), 6)
    new = report.layers[0].new_breakpoints.clone()
    adapt_grids(network, 3 * x, InputDensity())
    assert torch.equal(report.layers[0].new_breakpoints, new)


def test_relative_change_of_a_network_that_is_zero_is_zero_not_nan() -> None:
    network = KAN([2, 3, 1])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    report = adapt_grids(network, points(dtype=torch.float32), InputDensity(), 6)
    assert report.refit_error == 0
    assert all(adapted.refit_error == 0 for adapted in report.layers)


def test_insertion_by_hand_gives_the_same_coefficients() -> None:
    layer = KANLayer(2, 3, dtype=torch.float64)
    old = copy.deepcopy(layer)
    adapt_grids(layer, points(), Spike(), 7, placement=Placement(extension="insert"))
    expected = insert_knots(old.coefficients.detach(), old.knots, layer.knots, 3)
    assert torch.equal(layer.coefficients, expected)


def test_kan_layers_are_found_at_any_depth_each_once() -> None:
    layer = KANLayer(2, 2)
    network = nn.ModuleDict({"a": nn.Sequential(layer, nn.Tanh()), "b": layer, "c": KAN([2, 3, 1])})
    assert list(kan_layers(network)) == ["a.0", "c.layers.0", "c.layers.1"]
    assert kan_layers(nn.Linear(2, 2)) == {}
