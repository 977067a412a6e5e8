"""Levenberg-Marquardt steps: what they are, that they never climb, and what they refuse."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, KANLayer
from kanlit.optim import LevenbergMarquardt, Residual
from kanlit.optim.jacobian import RowJacobian, trained_columns
from kanlit.optim.penalty import Penalty
from kanlit.optim.recording import recorded

DOUBLE = torch.float64
Closure = Callable[[], dict[str, Residual]]


def points(rows: int, features: int = 2) -> Tensor:
    return 2 * torch.rand(rows, features, dtype=DOUBLE) - 1


def target(x: Tensor) -> Tensor:
    return torch.sin(3 * x[:, :1]) * x[:, 1:] + x[:, :1]


def regression(rows: int = 300, *widths: int, **settings: Any) -> tuple[KAN, Closure]:
    torch.manual_seed(3)
    net, x = KAN(widths or (2, 4, 1), dtype=DOUBLE, **settings), points(rows)
    return net, lambda: {"data": Residual(net(x) - target(x))}


def loss(closure: Closure) -> float:
    with torch.no_grad():
        return sum(float(b.weight * b.values.square().mean()) for b in closure().values())


def state(net: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in net.parameters()]


# -- the step ---------------------------------------------------------------------------------


def equation() -> tuple[KAN, Closure]:
    torch.manual_seed(4)
    net, x, edge = KAN([2, 3, 1], spline_order=4, dtype=DOUBLE), points(150), points(40)

    def closure() -> dict[str, Residual]:
        return {
            "pde": Residual(net.sweep(x).second.sum(2) - x[:, :1]),
            "boundary": Residual(net(edge), 10.0),
        }

    return net, closure


@pytest.mark.parametrize("make", [regression, equation])
@pytest.mark.parametrize(("ridge", "smoothness"), [(0.0, 0.0), (1e-3, 1e-5)])
def test_a_step_is_that_of_the_normal_equations_solved_by_hand(
    make: Callable[[], tuple[KAN, Closure]], ridge: float, smoothness: float
) -> None:
    net, closure = make()
    held = list(net.parameters())
    with recorded({id(p) for p in held}) as calls:
        blocks = closure()
    scales = {n: math.sqrt(b.weight / b.values.numel()) for n, b in blocks.items()}
    columns = trained_columns(calls, held)
    jacobian = RowJacobian(blocks, scales, calls, columns)
    rows = torch.cat([chunk.clone() for chunk in jacobian.chunks()])
    J, r = rows[:, :-1], rows[:, -1]
    L = torch.zeros(columns.count, columns.count, dtype=DOUBLE)
    Penalty(ridge, smoothness, columns, list(net.layers)).add_to(L)  # type: ignore[arg-type]
    H, theta = J.T @ J + L, columns.gather()
    D = H.diagonal().clamp(min=1e-12 * float(H.diagonal().max()))
    expected = theta + torch.linalg.solve(H + 100.0 * D.diag(), -(J.T @ r + L @ theta))

    optimizer = LevenbergMarquardt(
        net.parameters(), damping=100.0, corrections=0, ridge=ridge, smoothness=smoothness
    )
    optimizer.step(closure)
    torch.testing.assert_close(columns.gather(), expected, rtol=1e-9, atol=1e-10)


def test_what_a_step_returns_is_the_loss_before_it() -> None:
    net, closure = equation()
    optimizer = LevenbergMarquardt(net.parameters(), ridge=1.0)
    before = loss(closure)
    assert optimizer.step(closure) == pytest.approx(before, rel=1e-12)
    assert loss(closure) < before


def test_a_relative_ridge_is_a_ridge_times_the_loss_at_the_start_of_the_step() -> None:
    (one, closure), (two, other) = regression(), regression()
    two.load_state_dict(one.state_dict())
    share = LevenbergMarquardt(one.parameters(), ridge=1e-3, relative_ridge=0.05)
    fixed = LevenbergMarquardt(two.parameters(), ridge=1e-3 + 0.05 * loss(other))
    share.step(closure)
    fixed.step(other)
    for ours, theirs in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_with_a_relative_ridge_steps_end_where_log_loss_plus_penalty_is_stationary() -> None:
    """∇L / L + 2cθ = 0, on data with noise, which no parameters fit."""
    torch.manual_seed(0)
    net = KAN([1, 1], grid_size=3, dtype=DOUBLE)
    x = points(60, 1)
    y = target(torch.cat([x, x], 1)) + 0.1 * torch.randn(60, 1, dtype=DOUBLE)
    optimizer = LevenbergMarquardt(net.parameters(), relative_ridge=0.03)
    blocks = lambda: {"data": Residual(net(x) - y)}  # noqa: E731
    for _ in range(60):
        optimizer.step(blocks)
    value = (net(x) - y).square().mean()
    for name, parameter in net.named_parameters():
        if "edge_scale" not in name:
            (slope,) = torch.autograd.grad(value, parameter, retain_graph=True)
            total = slope / value.detach() + 2 * 0.03 * parameter.detach()
            assert float(total.abs().max()) < 1e-6


def test_a_relative_ridge_fades_where_the_data_can_be_fitted() -> None:
    torch.manual_seed(0)
    net, wanted = (KAN([2, 1], grid_size=4, dtype=DOUBLE) for _ in range(2))
    x = points(300)
    y = wanted(x).detach()
    optimizer = LevenbergMarquardt(net.parameters(), relative_ridge=0.1)
    for _ in range(40):
        optimizer.step(lambda: {"data": Residual(net(x) - y)})
    assert (net(x) - y).abs().max() < 1e-7


@pytest.mark.parametrize("outside", ["linear", "zero"])
def test_a_problem_linear_in_the_parameters_is_solved_in_two_steps(outside: Any) -> None:
    torch.manual_seed(0)
    (layer,) = (net := KAN([2, 1], grid_size=5, outside=outside, dtype=DOUBLE)).layers
    x = 1.2 * points(400)
    wanted = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in wanted.parameters():
            parameter.normal_()
        wanted.layers[0].edge_scale.fill_(1.0)  # type: ignore[union-attr, operator]
        y = wanted(x)
    optimizer = LevenbergMarquardt(layer.parameters(), damping=1e-14)
    for _ in range(2):
        optimizer.step(lambda: {"data": Residual(net(x) - y)})
    assert (net(x) - y).abs().max() < 1e-10


def test_edge_scales_and_what_is_not_trained_stay_as_they_are() -> None:
    net, closure = regression()
    first, second = net.layers
    with torch.no_grad():
        first.edge_scale.uniform_(0.5, 1.5)
    second.base_weight.requires_grad_(False)
    kept = first.edge_scale, second.edge_scale, second.base_weight
    before = [p.detach().clone() for p in kept]
    optimizer = LevenbergMarquardt(net.parameters())
    start = loss(closure)
    for _ in range(10):
        optimizer.step(closure)
    assert loss(closure) < 0.5 * start
    for parameter, value in zip(kept, before, strict=True):
        assert torch.equal(parameter, value)


def test_rows_made_a_few_at_a_time_give_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    net, closure = equation()
    few = copy.deepcopy(net.state_dict())
    LevenbergMarquardt(net.parameters()).step(closure)
    whole = state(net)
    net.load_state_dict(few)
    monkeypatch.setattr("kanlit.optim.jacobian._PANEL", 70)
    monkeypatch.setattr("kanlit.optim.jacobian._CHUNK_ELEMENTS", 1)
    LevenbergMarquardt(net.parameters()).step(closure)
    for one, other in zip(state(net), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_fewer_residuals_than_parameters_give_the_same_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = []
    for world in (1, 0):  # only one process alone chooses the space of the residuals
        net, closure = regression(30)
        monkeypatch.setattr("kanlit.optim.levenberg_marquardt.world_size", lambda: world)  # noqa: B023
        optimizer = LevenbergMarquardt(net.parameters(), damping=1.0, ridge=1e-6)
        for _ in range(3):
            optimizer.step(closure)
        results.append(state(net))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_the_coefficient_of_an_equation_is_found() -> None:
    torch.manual_seed(1)
    net, x = KAN([1, 3, 1], dtype=DOUBLE), points(200, 1)
    a = nn.Parameter(torch.tensor(1.0, dtype=DOUBLE))

    def closure() -> dict[str, Residual]:
        u = net.sweep(x)  # u'' + a u = 0 has the solution sin(2x) for a = 4 alone
        return {
            "pde": Residual(u.second[:, 0] + a * u.value),
            "data": Residual(u.value - torch.sin(2 * x), 100.0),
        }

    optimizer = LevenbergMarquardt([*net.parameters(), a])
    for _ in range(40):
        optimizer.step(closure)
    assert a.item() == pytest.approx(4.0, abs=2e-2)


# -- never up ---------------------------------------------------------------------------------


def mixed() -> tuple[nn.Module, Closure]:
    torch.manual_seed(5)
    net = nn.Sequential(
        KANLayer(2, 3, dtype=DOUBLE), nn.Linear(3, 3, dtype=DOUBLE), KANLayer(3, 1, dtype=DOUBLE)
    )
    x = points(200)
    return net, lambda: {"data": Residual(net(x) - target(x))}


@pytest.mark.parametrize("make", [regression, equation, mixed])
@pytest.mark.parametrize("settings", [{}, {"corrections": 0}, {"ridge": 1e-4, "smoothness": 1e-6}])
def test_the_objective_never_rises(
    make: Callable[[], tuple[nn.Module, Closure]], settings: dict[str, Any]
) -> None:
    net, closure = make()

    def objective() -> float:
        held = [p for n, p in net.named_parameters() if "edge_scale" not in n]
        columns = trained_columns((), held)
        layers = [m for m in net.modules() if isinstance(m, KANLayer)]
        penalty = Penalty(
            settings.get("ridge", 0.0), settings.get("smoothness", 0.0), columns, layers
        )
        return loss(closure) + penalty.value(columns.gather())

    optimizer = LevenbergMarquardt(net.parameters(), damping=1e-8, **settings)
    values = [objective()]
    for _ in range(20):
        optimizer.step(closure)
        values.append(objective())
    assert all(after <= before for before, after in itertools.pairwise(values))
    assert values[-1] < 0.1 * values[0]


def test_a_correction_makes_steps_better() -> None:
    ends = []
    for corrections in (0, 1):
        net, closure = regression()
        optimizer = LevenbergMarquardt(net.parameters(), corrections=corrections)
        for _ in range(15):
            optimizer.step(closure)
        ends.append(loss(closure))
    assert ends[1] < ends[0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_residuals_that_are_not_finite_leave_the_parameters_and_raise_the_damping(
    bad: float,
) -> None:
    net, closure = regression()
    optimizer = LevenbergMarquardt(net.parameters(), damping=0.5)
    before = state(net)

    def spoilt() -> dict[str, Residual]:
        values = closure()["data"].values
        return {"data": Residual(torch.where(torch.arange(len(values))[:, None] == 7, bad, values))}

    assert not math.isfinite(optimizer.step(spoilt))
    assert all(torch.equal(a, b) for a, b in zip(state(net), before, strict=True))
    assert all(entry["damping"] > 0.5 for entry in optimizer.state.values())
    start = loss(closure)
    optimizer.step(closure)
    assert loss(closure) < start


def test_where_every_trial_is_worse_the_parameters_stay_to_the_last_bit() -> None:
    net, closure = regression()
    before = state(net)

    def rugged() -> dict[str, Residual]:
        moved = any(not torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))
        values = closure()["data"].values
        return {"data": Residual(values + 1e3 if moved else values)}

    optimizer = LevenbergMarquardt(net.parameters(), max_trials=4)
    optimizer.step(rugged)
    assert all(torch.equal(a, b) for a, b in zip(state(net), before, strict=True))
    damping = optimizer.state[next(net.parameters())]["damping"]
    assert damping == pytest.approx(1e-2 * 2 * 4 * 8 * 16)


def test_inputs_that_repeat_make_no_trouble() -> None:
    net, _ = regression()
    x = torch.zeros(50, 2, dtype=DOUBLE)  # one point: a matrix of rank 1

    def closure() -> dict[str, Residual]:
        return {"data": Residual(net(x) - 1)}

    optimizer = LevenbergMarquardt(net.parameters(), damping=1e-15)
    for _ in range(5):
        optimizer.step(closure)
    assert loss(closure) < 1e-20


def test_mini_batches_each_take_a_step_of_their_own() -> None:
    net, _ = regression()
    x = points(1024)
    optimizer = LevenbergMarquardt(net.parameters(), damping=1.0)
    everything = loss(lambda: {"data": Residual(net(x) - target(x))})
    for batch in x.split(256) * 5:

        def closure(batch: Tensor = batch) -> dict[str, Residual]:
            return {"data": Residual(net(batch) - target(batch))}

        before = loss(closure)
        optimizer.step(closure)
        assert loss(closure) <= before
    assert loss(lambda: {"data": Residual(net(x) - target(x))}) < 0.05 * everything


def test_a_float32_network_is_trained_in_its_own_type() -> None:
    net, _ = regression()
    net.float()
    x = points(300).float()
    optimizer = LevenbergMarquardt(net.parameters())
    start = loss(closure := lambda: {"data": Residual(net(x) - target(x))})
    values = [start]
    for _ in range(30):
        optimizer.step(closure)
        values.append(loss(closure))
    assert values[-1] < 1e-5 * start
    assert all(p.dtype == torch.float32 for p in net.parameters())


# -- its state --------------------------------------------------------------------------------


def test_its_state_is_plain_numbers_and_a_copy_goes_on_to_the_last_bit() -> None:
    net, closure = regression()
    optimizer = LevenbergMarquardt(net.parameters())
    for _ in range(4):
        optimizer.step(closure)
    saved, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(net.state_dict())
    assert {type(v) for entry in saved["state"].values() for v in entry.values()} == {float}
    for _ in range(4):
        optimizer.step(closure)

    other, again = regression()
    other.load_state_dict(weights)
    resumed = LevenbergMarquardt(other.parameters())
    resumed.load_state_dict(saved)
    for _ in range(4):
        resumed.step(again)
    assert all(torch.equal(a, b) for a, b in zip(state(other), state(net), strict=True))
    assert resumed.state_dict() == optimizer.state_dict()


# -- what it refuses --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"damping": 0.0}, "damping must be above 0, got 0.0"),
        ({"damping": math.nan}, "damping must be above 0"),
        ({"max_trials": 0}, "max_trials must be at least 1, got 0"),
        ({"corrections": -1}, "corrections must be at least 0, got -1"),
        ({"ridge": -1.0}, "ridge must be at least 0, got -1.0"),
        ({"relative_ridge": math.nan}, "relative_ridge must be at least 0, got nan: try 0.01"),
        ({"smoothness": math.inf}, "smoothness must be at least 0, got inf"),
        ({"memory": 0.0}, "memory must be above 0 GiB, got 0.0"),
    ],
)
def test_settings_out_of_their_range_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        LevenbergMarquardt(KAN([1, 1]).parameters(), **settings)


def test_groups_of_parameters_are_refused() -> None:
    groups = [{"params": list(layer.parameters())} for layer in KAN([1, 2, 1]).layers]
    with pytest.raises(ConfigurationError, match="supports one parameter group, got 2"):
        LevenbergMarquardt(groups)


@pytest.mark.parametrize("rows", [40, 400])
def test_what_does_not_fit_in_memory_is_refused_and_other_optimisers_named(rows: int) -> None:
    net, closure = regression(rows)
    optimizer = LevenbergMarquardt(net.parameters(), memory=1e-5)
    before = state(net)
    with pytest.raises(ConfigurationError, match=r"89 parameters.*torch.optim.LBFGS or torch.opt"):
        optimizer.step(closure)
    assert all(torch.equal(a, b) for a, b in zip(state(net), before, strict=True))


@pytest.mark.parametrize("result", [torch.tensor(1.0), None, {}, {"data": torch.ones(3, 1)}, 3.0])
def test_a_closure_that_does_not_return_residuals_is_refused(result: Any) -> None:
    optimizer = LevenbergMarquardt(KAN([1, 1]).parameters())
    with pytest.raises(ConfigurationError, match=r"closure returned \w+: return {name: Residual"):
        optimizer.step(lambda: result)


def test_one_dimensional_residuals_count_as_one_target() -> None:
    (net, closure), (other, flat) = regression(), regression()
    LevenbergMarquardt(net.parameters()).step(closure)
    LevenbergMarquardt(other.parameters()).step(
        lambda: {"data": Residual(flat()["data"].values.squeeze(1))}
    )
    assert all(torch.equal(a, b) for a, b in zip(state(net), state(other), strict=True))


def test_rows_that_depend_on_each_other_are_refused() -> None:
    net = nn.Sequential(KANLayer(2, 3, dtype=DOUBLE), nn.BatchNorm1d(3, dtype=DOUBLE))
    x = points(40)
    optimizer = LevenbergMarquardt(net[0].parameters())
    with pytest.raises(ConfigurationError, match="cannot compute the Jacobian of these residuals"):
        optimizer.step(lambda: {"data": Residual(net(x) - x[:, :1])})


def test_derivatives_by_nested_autograd_are_refused() -> None:
    net = nn.Sequential(nn.Linear(2, 3, dtype=DOUBLE), nn.Tanh(), nn.Linear(3, 1, dtype=DOUBLE))
    x = points(50).requires_grad_()

    def closure() -> dict[str, Residual]:
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        return {"slope": Residual(slope - 1)}

    with pytest.raises(ConfigurationError, match=r"derivatives must come from KAN\.jet"):
        LevenbergMarquardt(net.parameters()).step(closure)


def test_residuals_of_another_network_are_refused() -> None:
    (net, _), (_, closure) = regression(), regression()
    with pytest.raises(ConfigurationError, match="no residual depends on a parameter"):
        LevenbergMarquardt(net.parameters()).step(closure)


def test_edges_that_are_put_out_stay_zero_and_the_others_learn() -> None:
    network = KAN([2, 3, 1], dtype=torch.float64)
    x = 2 * torch.rand(80, 2, dtype=torch.float64) - 1
    layer = network.layers[0]
    edges = torch.tensor([[True, True], [False, True], [True, False]])
    layer.retain(torch.ones(3).bool(), torch.ones(2).bool(), edges)
    for evaluate in (network, lambda x: network.sweep(x).gradient[:, 0]):
        optimizer = LevenbergMarquardt(network.parameters())

        def residuals(evaluate: Any = evaluate) -> dict[str, Residual]:
            return {"data": Residual(evaluate(x) - x[:, :1] * x[:, 1:])}

        losses = [float(optimizer.step(residuals)) for _ in range(10)]
        assert losses[-1] < 0.2 * losses[0]
        for parameter in (layer.coefficients, layer.base_weight, layer.edge_scale):
            assert not parameter[~edges].any()


@pytest.mark.parametrize("points", [2100, 60], ids=["by parameters", "by residuals"])
def test_a_step_does_not_depend_on_the_number_of_threads(points: int) -> None:
    def steps(threads: int) -> list[Tensor]:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        network = KAN([2, 6, 1], grid_size=6, dtype=torch.float64)
        x = 2 * torch.rand(points, 2, dtype=torch.float64) - 1
        optimizer = LevenbergMarquardt(network.parameters())
        losses = [
            optimizer.step(lambda: {"data": Residual(network(x) - x.prod(1, keepdim=True))})
            for _ in range(3)
        ]
        assert torch.get_num_threads() == threads
        return [torch.tensor(losses), *(p.detach() for p in network.parameters())]

    before = torch.get_num_threads()
    try:
        one, *others = steps(1), steps(2), steps(3)
    finally:
        torch.set_num_threads(before)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
