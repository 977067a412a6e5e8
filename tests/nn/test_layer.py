"""A layer is the formula it states, its derivatives are exact, and its grid can change."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kanlit.chain_rule import Along, closure
from kanlit.nn import KAN, KANLayer
from kanlit.splines import Outside, bspline_basis, insert_knots, project

DEGREES = (1, 2, 3, 4, 5)
OUTSIDES: tuple[Outside, ...] = ("linear", "zero")

each_degree = pytest.mark.parametrize("degree", DEGREES)
each_outside = pytest.mark.parametrize("outside", OUTSIDES)
each_path = pytest.mark.parametrize("path", ["narrow", "wide", "kernel"])


def make_layer(
    n_in: int = 2,
    n_out: int = 3,
    degree: int = 3,
    outside: Outside = "linear",
    grid_size: int = 4,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> KANLayer:
    """A layer with uneven knots and no parameter at a special value."""
    generator = torch.Generator().manual_seed(seed)
    layer = KANLayer(
        n_in,
        n_out,
        grid_size=grid_size,
        spline_order=degree,
        outside=outside,
        generator=generator,
        dtype=dtype,
    )
    gaps = 0.3 + torch.rand(n_in, grid_size, generator=generator, dtype=torch.float64)
    inner = -1 + 2 * (gaps.cumsum(1) / gaps.sum(1, keepdim=True))[:, :-1]
    ends = torch.ones(n_in, 1, dtype=torch.float64)
    breakpoints = torch.cat([-ends, inner, ends], dim=1)
    weight = torch.randn(n_out, n_in, grid_size + degree, generator=generator, dtype=dtype)
    layer.set_grid(layer.knots_for(breakpoints), weight)
    with torch.no_grad():
        for parameter in (layer.base_weight, layer.edge_scale, layer.bias):
            parameter.normal_(generator=generator)
    return layer


def points(layer: KANLayer, count: int = 2) -> Tensor:
    """``(n, in)``: some in every interval, some outside on both sides, none near a knot."""
    columns = []
    share = torch.linspace(0.2, 0.8, count, dtype=torch.float64)
    for feature in range(layer.in_features):
        knots = layer.knots[feature].double()
        inside = (knots[:-1, None] + knots.diff()[:, None] * share).flatten()
        column = torch.cat([knots[:1] - 0.7, inside, knots[-1:] + 0.7])
        # Not in the same order in every feature.
        columns.append(column.roll(3 * feature))
    return torch.stack(columns, dim=1).to(layer.knots.dtype)


def formula(layer: KANLayer, x: Tensor) -> Tensor:
    """The layer's output by its formula: ``(n, out)``."""
    basis = bspline_basis(x, layer.knots, layer.spline_order, outside=layer.outside)
    spline = torch.einsum("qp,qpi,npi->nq", layer.edge_scale, layer.coefficients, basis)
    return spline + F.silu(x) @ layer.base_weight.T + layer.bias


def parameters_of(layer: KANLayer) -> dict[str, Tensor]:
    return {name: p.detach().clone().requires_grad_() for name, p in layer.named_parameters()}


def output(layer: KANLayer, x: Tensor) -> Tensor:
    with torch.no_grad():
        return layer(x)


# -- values -------------------------------------------------------------------------------------


@each_path
@each_outside
@each_degree
def test_output_is_the_formula(
    degree: int, outside: Outside, path: str, force_path: Callable[[str], None]
) -> None:
    force_path(path)
    layer = make_layer(degree=degree, outside=outside)
    x = points(layer)
    torch.testing.assert_close(layer(x), formula(layer, x), rtol=1e-12, atol=1e-12)


@each_outside
@each_degree
def test_wide_and_narrow_paths_agree(
    degree: int, outside: Outside, force_path: Callable[[str], None]
) -> None:
    layer = make_layer(3, 4, degree, outside)
    x = points(layer)
    alongs = closure([(0, 0), (0, 1), (1, 1)])[1:]
    streams = torch.randn(len(alongs), 3, len(x), dtype=torch.float64)
    results = []
    for path in ("narrow", "wide"):
        force_path(path)
        results.append([layer(x), *layer.sweep(x.T.contiguous(), streams, alongs)])
    for narrow, broad in zip(*results, strict=True):
        assert (narrow - broad).abs().max() < 1e-12 * (1 + narrow.abs().max())


def test_each_path_is_taken_where_it_is_meant() -> None:
    assert make_layer(2, 10)._dense()
    assert not make_layer(2, 1)._dense()
    assert not make_layer(2, 16, grid_size=500)._dense()
    assert not make_layer(2, 10)._dense(derivatives=True)
    assert make_layer(2, 64)._dense(derivatives=True)


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 1, 3), (0,), (2, 0)])
@each_path
def test_any_leading_shape_passes(
    shape: tuple[int, ...], path: str, force_path: Callable[[str], None]
) -> None:
    force_path(path)
    layer = make_layer()
    x = torch.randn(*shape, 2, dtype=torch.float64)
    y = layer(x)
    assert y.shape == (*shape, 3)
    expected = layer(x.reshape(-1, 2)).reshape(*shape, 3)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", [(), (4,), (4, 1), (4, 4), (0, 3), (2, 2, 1)])
@each_path
def test_inputs_of_another_width_are_refused(
    shape: tuple[int, ...], path: str, force_path: Callable[[str], None]
) -> None:
    force_path(path)
    layer = make_layer()
    x = torch.randn(shape, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"input has shape .*, but the layer takes \(.*2.*\)"):
        layer(x)


def test_sweeps_of_another_width_are_refused() -> None:
    network = KAN([2, 3, 1])
    with pytest.raises(RuntimeError, match=r"shape \(1, 4\), but the layer takes \(2, 4\)"):
        network.sweep(torch.randn(4, 1))


def test_inputs_that_are_not_contiguous_give_the_same() -> None:
    layer = make_layer()
    x = torch.randn(2, 9, dtype=torch.float64).T
    torch.testing.assert_close(layer(x), layer(x.contiguous()), rtol=0, atol=0)


@each_path
@each_outside
def test_float32_output_and_gradients_stay_finite_a_million_widths_away(
    outside: Outside, path: str, force_path: Callable[[str], None]
) -> None:
    force_path(path)
    # A million widths of a hundred intervals: to the fifth power 1e40, no float32.
    layer = make_layer(2, 3, 5, outside, grid_size=100, dtype=torch.float32)
    x = torch.tensor([[2e6, -2e6], [0.3, 2e6]], requires_grad=True)
    y = layer(x)
    assert torch.isfinite(y).all()
    y.sum().backward()
    for tensor in (x, *layer.parameters()):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()


# -- derivatives --------------------------------------------------------------------------------


@each_path
@each_outside
@each_degree
def test_gradients_in_inputs_and_parameters_pass_gradcheck(
    degree: int, outside: Outside, path: str, force_path: Callable[[str], None]
) -> None:
    force_path(path)
    layer = make_layer(2, 2, degree, outside, grid_size=2)
    parameters = parameters_of(layer)
    x = points(layer, count=1).requires_grad_()

    def run(x: Tensor, *values: Tensor) -> Tensor:
        named = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(layer, named, (x,))

    assert torch.autograd.gradcheck(run, (x, *parameters.values()))


@each_path
@each_outside
@pytest.mark.parametrize("degree", [1, 5])
def test_second_gradients_in_inputs_and_parameters_pass_gradgradcheck(
    degree: int, outside: Outside, path: str, force_path: Callable[[str], None]
) -> None:
    force_path(path)
    layer = make_layer(2, 1, degree, outside, grid_size=2)
    parameters = parameters_of(layer)
    x = points(layer, count=1)[::2].contiguous().requires_grad_()

    def run(x: Tensor, *values: Tensor) -> Tensor:
        named = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(layer, named, (x,))

    assert torch.autograd.gradgradcheck(run, (x, *parameters.values()))


class SweepFirst(nn.Module):
    """A module whose forward is the sweep, so that it can be called with other parameters."""

    def __init__(self, layer: KANLayer, alongs: Sequence[Along]) -> None:
        super().__init__()
        self.layer = layer
        self.alongs = alongs

    def forward(self, value: Tensor, streams: Tensor) -> tuple[Tensor, ...]:
        return self.layer.sweep(value, streams, self.alongs)


@each_path
@each_outside
@pytest.mark.parametrize(("degree", "highest"), [(2, (0, 1)), (5, (0, 0, 1, 1))])
def test_sweep_passes_gradcheck_in_all_it_takes_and_in_the_parameters(
    degree: int, highest: Along, outside: Outside, path: str, force_path: Callable[[str], None]
) -> None:
    force_path(path)
    alongs = closure([highest, (0, 0)])[1:]
    module = SweepFirst(make_layer(2, 2, degree, outside, grid_size=2), alongs)
    parameters = {f"layer.{name}": p for name, p in parameters_of(module.layer).items()}
    value = points(module.layer, count=1)[:5].T.contiguous().requires_grad_()
    streams = torch.randn(len(alongs), 2, 5, dtype=torch.float64, requires_grad=True)

    def run(value: Tensor, streams: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(module, named, (value, streams))

    inputs = (value, streams, *parameters.values())
    assert torch.autograd.gradcheck(run, inputs)


@each_outside
@each_degree
def test_edge_derivatives_agree_with_nested_autograd(degree: int, outside: Outside) -> None:
    layer = make_layer(2, 3, degree, outside)
    x = points(layer).requires_grad_()
    for out in range(3):
        value = formula_edges(layer, x)[..., out]
        (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x)
        for derivative, expected in enumerate((value, first, second)):
            ours = layer.edge_functions(x, derivative)[..., out]
            assert (ours - expected).abs().max() < 1e-10 * (1 + expected.abs().max())


def formula_edges(layer: KANLayer, x: Tensor) -> Tensor:
    """``(n, in, out)`` by the formula of one edge."""
    basis = bspline_basis(x, layer.knots, layer.spline_order, outside=layer.outside)
    spline = torch.einsum("qp,qpi,npi->npq", layer.edge_scale, layer.coefficients, basis)
    return spline + F.silu(x).unsqueeze(-1) * layer.base_weight.T


@each_outside
def test_second_derivatives_outside_are_those_of_the_base_alone(outside: Outside) -> None:
    layer = make_layer(outside=outside)
    low, high = layer.knots[:, 0], layer.knots[:, -1]
    x = torch.stack([low - 0.5, high + 0.5])
    bend = layer.edge_functions(x, 2)
    with torch.no_grad():
        layer.coefficients.zero_()
    torch.testing.assert_close(bend, layer.edge_functions(x, 2), rtol=0, atol=0)


# -- changing the grid --------------------------------------------------------------------------


def refined(layer: KANLayer) -> tuple[Tensor, Tensor]:
    """Knots with one more in the middle of each interval, and exact coefficients on them."""
    b = layer.breakpoints
    knots = layer.knots_for(torch.cat([b, (b[:, :-1] + b[:, 1:]) / 2], dim=1).sort(dim=1).values)
    weight = insert_knots(layer.coefficients.detach(), layer.knots, knots, layer.spline_order)
    return knots, weight


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)], ids=["32", "64"]
)
@each_path
@each_outside
@each_degree
def test_output_is_kept_when_knots_are_inserted_between_fixed_ends(
    degree: int,
    outside: Outside,
    path: str,
    dtype: torch.dtype,
    tolerance: float,
    force_path: Callable[[str], None],
) -> None:
    force_path(path)
    layer = make_layer(2, 3, degree, outside, grid_size=5, dtype=dtype)
    x = torch.rand(400, 2, dtype=dtype) * 2 - 1
    if outside == "linear":
        x = 1.5 * x
    before = output(layer, x)
    layer.set_grid(*refined(layer))
    assert layer.grid_size == 10
    assert (output(layer, x) - before).abs().max() < tolerance * before.abs().max()


@pytest.mark.parametrize("grid_size", [2, 5, 9])
def test_new_grid_keeps_the_parameter_object_and_adam_goes_on(grid_size: int) -> None:
    layer = make_layer(grid_size=5)
    weight = layer.coefficients
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
    x = torch.rand(50, 2, dtype=torch.float64)

    def step() -> float:
        optimizer.zero_grad()
        loss = layer(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    step()
    b = torch.linspace(-1.2, 1.1, grid_size + 1, dtype=torch.float64).repeat(2, 1)
    knots = layer.knots_for(b)
    layer.set_grid(knots, project(weight.detach(), layer.knots, knots, 3))
    assert layer.coefficients is weight
    assert optimizer.param_groups[0]["params"][0] is weight
    assert isinstance(weight, nn.Parameter)
    assert weight.requires_grad
    assert weight.is_leaf
    assert weight.shape == (3, 2, grid_size + 3)
    assert dict(layer.named_parameters())["coefficients"] is weight
    if grid_size != 5:
        assert weight.grad is None
        optimizer.state.pop(weight)
    values = weight.detach().clone()
    losses = [step() for _ in range(3)]
    assert losses[-1] < losses[0]
    assert (weight != values).any()


def test_new_grid_of_the_same_size_is_used_at_once() -> None:
    layer = make_layer()
    x = points(layer)
    layer.set_grid(layer.knots_for(1.3 * layer.breakpoints), layer.coefficients.detach() + 1)
    torch.testing.assert_close(layer(x), formula(layer, x), rtol=1e-12, atol=1e-12)


def test_frozen_coefficients_stay_frozen_on_a_new_grid() -> None:
    layer = make_layer()
    layer.coefficients.requires_grad_(False)
    layer.set_grid(*refined(layer))
    assert not layer.coefficients.requires_grad


def broken_grids() -> dict[str, Any]:
    def unsorted(knots: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return knots.flip(1), weight

    def tied(knots: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        knots[0, 4] = knots[0, 5]
        return knots, weight

    def nan_knot(knots: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        knots[1, 4] = torch.nan
        return knots, weight

    def infinite_last_knot(knots: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        knots[1, -1] = torch.inf
        return knots, weight

    def nan_weight(knots: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        weight[0, 0, 0] = torch.nan
        return knots, weight

    def infinite_weight(knots: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        weight[0, 0, 0] = torch.inf
        return knots, weight

    def too_few_weights(knots: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return knots, weight[..., 1:]

    def other_features(knots: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return knots[:1], weight[:, :1]

    def no_interval(knots: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return knots[:, :7], weight[..., :3]

    return {f.__name__: f for f in list(locals().values()) if callable(f)}


@pytest.mark.parametrize("broken", broken_grids().values(), ids=broken_grids().keys())
def test_grid_that_cannot_be_is_refused_and_the_layer_stays_as_it_was(broken: Any) -> None:
    layer = make_layer()
    x = points(layer)
    before, state = output(layer, x), copy.deepcopy(layer.state_dict())
    knots, weight = refined(layer)
    with pytest.raises(ValueError, match=r"knots|coefficients"):
        layer.set_grid(*broken(knots.clone(), weight.clone()))
    assert torch.equal(output(layer, x), before)
    assert all(torch.equal(value, state[name]) for name, value in layer.state_dict().items())


def test_grid_size_cannot_change_under_a_live_graph_and_the_layer_stays_as_it_was() -> None:
    layer = make_layer()
    x = points(layer)
    loss = layer(x).square().mean()  # its graph holds the coefficients
    before, grid = output(layer, x), refined(layer)
    with pytest.raises(ValueError, match="delete its outputs first"):
        layer.set_grid(*grid)
    assert layer.grid_size == 4
    assert torch.equal(output(layer, x), before)
    loss.backward()
    del loss
    layer.set_grid(*grid)
    assert layer.grid_size == 8


def test_layer_set_up_in_inference_mode_can_be_trained() -> None:
    layer = make_layer()
    with torch.inference_mode():
        layer.set_grid(*refined(layer))
    x = points(layer)
    layer(x).sum().backward()
    assert layer.coefficients.grad is not None


# -- saving, loading, copying -------------------------------------------------------------------


@pytest.mark.parametrize("grid_size", [1, 4, 9])
def test_layer_takes_the_size_of_the_state_it_loads(grid_size: int) -> None:
    source, layer = make_layer(grid_size=grid_size, seed=1), make_layer(grid_size=4)
    weight = layer.coefficients
    layer.load_state_dict(source.state_dict())
    assert layer.grid_size == grid_size
    assert layer.coefficients is weight
    x = torch.randn(50, 2, dtype=torch.float64)
    assert torch.equal(layer(x), source(x))


def test_loaded_layer_does_not_share_memory_with_the_state() -> None:
    source, layer = make_layer(grid_size=9, seed=1), make_layer(grid_size=4)
    layer.load_state_dict(source.state_dict())
    before = output(source, x := torch.randn(5, 2, dtype=torch.float64))
    with torch.no_grad():
        layer.coefficients.zero_()
    assert torch.equal(output(source, x), before)


def test_state_of_another_shape_raises_torchs_usual_error() -> None:
    layer = make_layer(2, 3)
    weight = layer.coefficients.detach().clone()
    for foreign in (make_layer(3, 3), make_layer(2, 4), make_layer(2, 3, degree=2)):
        with pytest.raises(RuntimeError, match="size mismatch for coefficients"):
            layer.load_state_dict(foreign.state_dict())
        # torch loads the entries that fit, perhaps the knots; the layer is sound all the same.
        assert layer.grid_size == 4
        assert torch.equal(layer.coefficients, weight)
        x = points(layer)
        torch.testing.assert_close(layer(x), formula(layer, x), rtol=1e-12, atol=1e-12)


def test_missing_and_unknown_keys_raise_torchs_usual_error() -> None:
    state = make_layer().state_dict()
    with pytest.raises(RuntimeError, match="Unexpected key"):
        make_layer().load_state_dict({**state, "grid": state["knots"]})
    del state["knots"]
    with pytest.raises(RuntimeError, match="Missing key"):
        make_layer().load_state_dict(state)


def test_state_holds_no_more_than_knots_and_parameters() -> None:
    names = {"knots", "coefficients", "base_weight", "edge_scale", "bias"}
    assert set(make_layer().state_dict()) == names


@each_outside
def test_pieces_get_all_digits_when_float32_knots_become_float64(outside: Outside) -> None:
    layer = make_layer(outside=outside, dtype=torch.float32).double()
    x = points(layer)
    torch.testing.assert_close(layer(x), formula(layer, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_keep_the_function_and_share_nothing(copied: Any) -> None:
    layer = make_layer()
    x = points(layer)
    twin = copied(layer)
    before = output(layer, x)
    assert torch.equal(output(twin, x), before)
    twin.set_grid(*refined(twin))
    with torch.no_grad():
        twin.coefficients.zero_()
    assert torch.equal(output(layer, x), before)


# -- the constructor ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spline_order": 0}, "spline_order"),
        ({"spline_order": 6}, "spline_order"),
        ({"in_features": 0}, "at least one"),
        ({"out_features": 0}, "at least one"),
        ({"grid_size": 0}, "grid_size"),
        ({"grid_range": (1.0, 1.0)}, "grid_range"),
        ({"grid_range": (1.0, -1.0)}, "grid_range"),
        ({"grid_range": (float("nan"), 1.0)}, "grid_range"),
        ({"grid_range": (float("-inf"), 1.0)}, "grid_range"),
        ({"grid_range": (1.0, 1.0 + 1e-9)}, "grid_range"),  # one number in float32
        ({"outside": "cubic"}, "outside"),
        ({"initialization": "zeros"}, "initialization"),
    ],
)
def test_constructor_refuses_what_it_cannot_build(changes: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"in_features": 2, "out_features": 3, **changes}
    with pytest.raises(ValueError, match=words):
        KANLayer(**arguments)


def test_ends_given_as_integers_are_numbers_like_any() -> None:
    layer = KANLayer(1, 1, grid_size=4, grid_range=(0, 1))
    assert layer.breakpoints.tolist() == [[0.0, 0.25, 0.5, 0.75, 1.0]]


@pytest.mark.parametrize("grid_range", [(-1.0, 1.0), (0.0, 5.0), (-3, 2)])
def test_first_grid_is_uniform_over_its_range(grid_range: tuple[float, float]) -> None:
    layer = KANLayer(2, 3, grid_size=5, grid_range=grid_range, dtype=torch.float64)
    expected = torch.linspace(*grid_range, 6, dtype=torch.float64).repeat(2, 1)
    torch.testing.assert_close(layer.breakpoints, expected)
    assert layer.knots.shape == (2, 5 + 2 * 3 + 1)
    assert layer.coefficients.shape == (3, 2, 5 + 3)
