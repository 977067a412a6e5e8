"""In a training loop without Lightning the optimizer goes on after ``adapt_grids``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from kanlit import CurvatureDensity, InputDensity, LevenbergMarquardt, adapt_grids
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN
from kanlit.optim import Residual

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "Adam": lambda p: torch.optim.Adam(p, lr=1e-2),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=1e-2),
    "SGD with momentum": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
    "L-BFGS": lambda p: torch.optim.LBFGS(p, max_iter=4),
    "Levenberg-Marquardt": LevenbergMarquardt,
}
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


class Loop:
    def __init__(self, make: Callable[[Any], torch.optim.Optimizer]) -> None:
        torch.manual_seed(0)
        self.network = KAN([2, 3, 1])
        self.x = 2 * torch.rand(64, 2) - 1
        self.y = torch.sin(3 * self.x[:, :1]) * self.x[:, 1:]
        self.optimizer = make(self.network.parameters())

    def step(self) -> None:
        def residuals() -> Any:
            return {"data": Residual(self.network(self.x) - self.y)}

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = (self.network(self.x) - self.y).square().mean()
            loss.backward()
            return loss

        least_squares = isinstance(self.optimizer, LevenbergMarquardt)
        self.optimizer.step(residuals if least_squares else closure)  # type: ignore[arg-type]

    def loss(self) -> float:
        return float((self.network(self.x) - self.y).square().mean().detach())


@each_optimizer
@pytest.mark.parametrize("policy", ["keep", "reset_changed", "reset_all"])
def test_an_optimizer_that_is_passed_goes_on(
    make: Callable[[Any], torch.optim.Optimizer], policy: Any
) -> None:
    loop = Loop(make)
    for _ in range(3):
        loop.step()
    adapt_grids(
        loop.network,
        loop.x,
        CurvatureDensity(),
        grid_size=8,
        optimizer=loop.optimizer,
        optimizer_state=policy,
    )
    before = loop.loss()
    for _ in range(3):
        loop.step()
    assert loop.loss() < before


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD with momentum", "L-BFGS"])
def test_an_optimizer_that_is_left_out_never_steps_with_a_state_of_the_old_shapes(
    name: str,
) -> None:
    loop = Loop(OPTIMIZERS[name])
    loop.step()
    adapt_grids(loop.network, loop.x, CurvatureDensity(), grid_size=8)
    with pytest.raises((RuntimeError, AssertionError)):
        loop.step()


def test_a_step_between_backward_and_zero_grad_uses_no_gradient_of_the_old_knots() -> None:
    loop = Loop(OPTIMIZERS["SGD with momentum"])
    loop.step()
    adapt_grids(loop.network, loop.x, CurvatureDensity(), optimizer=loop.optimizer)
    before = loop.network.layers[0].coefficients.detach().clone()
    loop.optimizer.step()
    assert torch.equal(loop.network.layers[0].coefficients, before)


@each_optimizer
def test_an_optimizer_in_lightning_s_wrapper_goes_on(
    make: Callable[[Any], torch.optim.Optimizer],
) -> None:
    loop = Loop(make)
    loop.step()
    wrapper: Any = LightningOptimizer(loop.optimizer)
    for size, given in ((8, wrapper), (12, [wrapper])):
        adapt_grids(loop.network, loop.x, CurvatureDensity(), size, optimizer=given)
        before = loop.loss()
        for _ in range(3):
            loop.step()
        assert loop.loss() < before


def test_an_unknown_policy_is_refused() -> None:
    loop = Loop(OPTIMIZERS["Adam"])
    settings: dict[str, Any] = {"optimizer": loop.optimizer, "optimizer_state": "drop"}
    with pytest.raises(ConfigurationError, match=r"optimizer_state must be 'keep' or .*'drop'"):
        adapt_grids(loop.network, loop.x, CurvatureDensity(), 8, **settings)
    assert loop.network.layers[0].grid_size == 3


def test_a_graph_that_holds_the_coefficients_is_named_and_nothing_changes() -> None:
    network = KAN([1, 2, 1])
    x = torch.linspace(-1, 1, 50).unsqueeze(1)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    output = network(x)  # its graph keeps the coefficients

    with pytest.raises(ValueError, match="delete its outputs first"):
        adapt_grids(network, x, InputDensity(), grid_size=8)

    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    del output
    assert adapt_grids(network, x, InputDensity(), grid_size=8).grid_size == 8
