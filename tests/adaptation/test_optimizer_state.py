"""An optimiser's moments follow the splines to their new knots, or are dropped, as asked."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kanlit.adaptation import AdaptationReport, InputDensity, Placement, adapt_grids, kan_layers
from kanlit.adaptation.optimizer_state import OptimizerState
from kanlit.nn import KAN, KANLayer

Maker = Callable[[Iterable[nn.Parameter]], Optimizer]
POLICIES: tuple[OptimizerState, ...] = ("keep", "reset_changed", "reset_all")

# Every optimiser of torch that takes parameters of any shape; a new one joins the list.
OPTIMIZERS: dict[str, Maker] = {
    "Adadelta": lambda p: torch.optim.Adadelta(p, lr=1.0),
    "Adafactor": lambda p: torch.optim.Adafactor(p, lr=1e-2),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-2),
    "Adagrad from 0.1": lambda p: torch.optim.Adagrad(p, 1e-2, initial_accumulator_value=0.1),
    "Adam": lambda p: torch.optim.Adam(p, lr=1e-2),
    "Adam, amsgrad": lambda p: torch.optim.Adam(p, lr=1e-2, amsgrad=True),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=1e-2),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=1e-2),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=1e-2),
    "LBFGS": lambda p: torch.optim.LBFGS(p, lr=0.5, max_iter=5),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=1e-2),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=1e-2),
    "RMSprop, centred with momentum": lambda p: torch.optim.RMSprop(
        p, lr=1e-3, momentum=0.9, centered=True
    ),
    "Rprop": lambda p: torch.optim.Rprop(p, lr=1e-3),
    "SGD": lambda p: torch.optim.SGD(p, lr=1e-2),
    "SGD with momentum": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True),
}
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
each_policy = pytest.mark.parametrize("policy", POLICIES)


class Run:
    """A small network, an optimiser and the loss that it lowers."""

    def __init__(self, make: Maker, degree: int = 3, steps: int = 3) -> None:
        torch.manual_seed(0)
        self.network = KAN([2, 4, 1], spline_order=degree)
        self.x = 2 * torch.rand(100, 2) - 1
        self.y = torch.sin(3 * self.x[:, :1]) * self.x[:, 1:]
        self.optimizer = make(self.network.parameters())
        self.losses = [self.step() for _ in range(steps)]

    def step(self) -> float:
        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = (self.network(self.x) - self.y).square().mean()
            loss.backward()
            return loss

        return float(self.optimizer.step(closure).detach())  # type: ignore[arg-type, attr-defined]

    def adapt(self, policy: OptimizerState, grid_size: int | None = 6) -> AdaptationReport:
        return adapt_grids(
            self.network,
            self.x,
            InputDensity(),
            grid_size,
            optimizer=self.optimizer,
            optimizer_state=policy,
            placement=Placement(uniform_mix=0.5),
        )

    def state(self) -> dict[str, dict[str, Any]]:
        names = {p: name for name, p in self.network.named_parameters()}
        return {names[p]: copy.deepcopy(s) for p, s in self.optimizer.state.items()}


def assert_equal_states(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert one.keys() == two.keys()
    for key, value in one.items():
        same = torch.equal(value, two[key]) if isinstance(value, Tensor) else value == two[key]
        assert same, key


@each_policy
@each_optimizer
@pytest.mark.parametrize("grid_size", [None, 7], ids=["moved", "extended"])
def test_every_optimiser_goes_on_lowering_the_loss_after_the_knots_have_changed(
    make: Maker, policy: OptimizerState, grid_size: int | None
) -> None:
    run = Run(make)
    run.adapt(policy, grid_size)
    weights = [p.detach().clone() for p in run.network.parameters()]
    losses = [run.step() for _ in range(12)]
    assert all(torch.isfinite(p).all() for p in run.network.parameters())
    assert min(losses[1:]) < losses[0]
    for before, now in zip(weights, run.network.parameters(), strict=True):
        assert not torch.equal(before, now)


@each_policy
@each_optimizer
def test_state_has_the_shapes_of_its_parameters_and_is_finite(
    make: Maker, policy: OptimizerState
) -> None:
    run = Run(make)
    shapes = {
        name: {k: v.dim() for k, v in s.items() if isinstance(v, Tensor)}
        for name, s in run.state().items()
    }
    run.adapt(policy)
    run.step()
    fresh = Run(make, steps=0)
    fresh.adapt(policy)
    fresh.step()
    expected = fresh.state()
    for name, state in run.state().items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                assert torch.isfinite(value).all()
                if key in expected.get(name, {}) and "LBFGS" not in type(run.optimizer).__name__:
                    assert value.shape == expected[name][key].shape, (name, key)
                    assert value.dim() == shapes[name][key]


@each_optimizer
@pytest.mark.parametrize("policy", ["keep", "reset_changed"])
def test_moments_of_parameters_without_knots_stay_bit_by_bit(
    make: Maker, policy: OptimizerState
) -> None:
    run = Run(make)
    before = run.state()
    if isinstance(run.optimizer, torch.optim.LBFGS):
        pytest.skip("its history is of all parameters together")
    run.adapt(policy)
    after = run.state()
    for name, state in before.items():
        if not name.endswith("coefficients"):
            assert_equal_states(state, after[name])


MOMENTS = {"Adam": ("exp_avg", "exp_avg_sq"), "SGD with momentum": ("momentum_buffer",)}


@pytest.mark.parametrize("name", MOMENTS)
def test_reset_changed_drops_the_splines_moments_and_no_others(name: str) -> None:
    run = Run(OPTIMIZERS[name])
    before = run.state()
    run.adapt("reset_changed")
    after = run.state()
    gone = {parameter for parameter in before if parameter.endswith("coefficients")}
    assert len(gone) == 2
    assert after.keys() == before.keys() - gone


@pytest.mark.parametrize("name", MOMENTS)
def test_reset_all_goes_on_as_an_optimiser_made_anew_would(name: str) -> None:
    run = Run(OPTIMIZERS[name])
    run.adapt("reset_all")
    assert not run.optimizer.state
    twin = copy.deepcopy(run.network)
    optimizer = OPTIMIZERS[name](twin.parameters())
    for _ in range(3):
        run.step()
        optimizer.zero_grad()
        (twin(run.x) - run.y).square().mean().backward()
        optimizer.step()
    for one, two in zip(run.network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, two)


def centres(layer: KANLayer, breakpoints: Tensor) -> Tensor:
    """Mean of each basis's k inner knots, by hand: ``(in, G+k)``."""
    knots, k = layer.knots_for(breakpoints), layer.spline_order
    count = knots.shape[1] - k - 1
    return torch.stack([knots[:, i + 1 : i + k + 1].mean(1) for i in range(count)], dim=1)


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("grid_size", [None, 2, 4, 9])
@pytest.mark.parametrize("name", MOMENTS)
def test_keep_takes_each_moment_from_the_old_basis_nearest_to_the_new(
    name: str, grid_size: int | None, degree: int
) -> None:
    run = Run(OPTIMIZERS[name], degree)
    before = run.state()
    report = run.adapt("keep", grid_size)
    after = run.state()
    layers = kan_layers(run.network)
    for adapted in report.layers:
        layer = layers[adapted.name]
        old, new = centres(layer, adapted.old_breakpoints), centres(layer, layer.breakpoints)
        distance = (new.unsqueeze(2) - old.unsqueeze(1)).abs()
        for key in MOMENTS[name]:
            was = before[f"{adapted.name}.coefficients"][key]
            now = after[f"{adapted.name}.coefficients"][key]
            assert now.shape == layer.coefficients.shape
            for p in range(layer.in_features):
                for i in range(new.shape[1]):
                    near = distance[p, i] <= distance[p, i].min() + 1e-6  # a tie is either's
                    candidates = was[:, p, near]
                    assert (candidates == now[:, p, i : i + 1]).all(0).any(), (p, i)


def test_keep_leaves_moments_as_they_are_where_no_knot_has_moved() -> None:
    run = Run(OPTIMIZERS["Adam"])
    run.adapt("keep")
    run.step()
    before = run.state()
    run.adapt("keep", None)  # the first layer's samples are the same, so are its knots
    after = run.state()
    assert_equal_states(before["layers.0.coefficients"], after["layers.0.coefficients"])


def test_keep_counts_adam_s_steps_on() -> None:
    run = Run(OPTIMIZERS["Adam"])
    run.adapt("keep")
    run.step()
    assert {float(state["step"]) for state in run.state().values()} == {4.0}


@each_policy
def test_parameters_that_have_no_state_yet_get_none(policy: OptimizerState) -> None:
    run = Run(OPTIMIZERS["Adam"], steps=0)
    run.adapt(policy)
    assert not run.optimizer.state
    run.step()


@each_policy
def test_an_optimiser_of_other_parameters_is_left_alone(policy: OptimizerState) -> None:
    run = Run(OPTIMIZERS["Adam"])
    if policy == "reset_all":
        pytest.skip("drops the moments of all")
    other = nn.Linear(2, 1)
    run.optimizer = torch.optim.Adam(other.parameters())
    other(run.x).sum().backward()
    run.optimizer.step()
    before = [copy.deepcopy(s) for s in run.optimizer.state.values()]
    run.adapt(policy)
    for one, two in zip(before, run.optimizer.state.values(), strict=True):
        assert_equal_states(one, two)
