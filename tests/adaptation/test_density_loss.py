"""The density by the loss of each sample: its formula, its units, and what it needs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kanlit.adaptation import ImportanceContext, InputDensity, LossDensity, adapt_grids
from kanlit.callbacks import GridAdaptationCallback
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN
from running import trainer_for


def points(count: int = 100) -> Tensor:
    return 2 * torch.rand(count, 2, generator=torch.Generator().manual_seed(3)) - 1


def context_of(losses: Tensor | None, count: int = 100) -> ImportanceContext:
    network, x = KAN([2, 3, 1]), points(count)
    layer = network.layers[0]
    return ImportanceContext(layer, x, network, x, losses)


@pytest.mark.parametrize(("power", "epsilon"), [(1, 0), (0.5, 0.01), (2, 0.3)])
def test_weights_are_the_loss_over_its_mean_and_epsilon_to_the_power(
    power: float, epsilon: float
) -> None:
    weights = LossDensity(power, epsilon)(context_of(torch.tensor([1.0, 0.0, 3.0, 4.0]), 4))
    expected = (torch.tensor([0.5, 0.0, 1.5, 2.0]) + epsilon) ** power
    torch.testing.assert_close(weights, expected)


@pytest.mark.parametrize("unit", [1e-30, 3e38])
@pytest.mark.parametrize("power", [0.5, 4])
def test_weights_do_not_depend_on_the_unit_of_the_loss(unit: float, power: float) -> None:
    losses = torch.rand(100)
    expected = LossDensity(power)(context_of(losses))
    torch.testing.assert_close(LossDensity(power)(context_of(unit * losses)), expected)


@pytest.mark.parametrize("value", [0.0, 1e-38, 0.3, 3e38])
def test_equal_losses_place_the_knots_of_the_input_density(value: float) -> None:
    networks = []
    for density in (InputDensity(), LossDensity()):
        networks.append(KAN([2, 3, 1], generator=torch.Generator().manual_seed(1)))
        adapt_grids(networks[-1], points(), density, 6, sample_losses=torch.full((100,), value))
    for one, two in zip(*(n.state_dict().values() for n in networks), strict=True):
        assert torch.equal(one, two)


def test_every_layer_gets_the_weights_of_the_samples_it_sees() -> None:
    x, losses = points(), torch.rand(100)
    report = adapt_grids(KAN([2, 3, 1]), x, LossDensity(), 6, sample_losses=losses)
    expected = (losses / losses.mean() + 0.01).sqrt()
    assert len(report.layers) == 2
    for layer in report.layers:
        torch.testing.assert_close(layer.weights, expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_losses_of_a_run_that_has_diverged_undo_the_adaptation(bad: float) -> None:
    losses = torch.rand(100)
    losses[7] = bad
    with pytest.raises(ValueError, match="weights must be finite"):
        adapt_grids(KAN([2, 3, 1]), points(), LossDensity(), 6, sample_losses=losses)


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (None, r"give the LightningModule a method sample_losses\(batch\)"),
        (torch.rand(99), r"one loss per sample, \(100,\), got \(99,\)"),
        (torch.rand(100, 1), r"one loss per sample, \(100,\), got \(100, 1\)"),
        (torch.tensor(0.3), r"one loss per sample, \(100,\), got \(\)"),
        (torch.linspace(-0.5, 1, 100), r"nonnegative losses, but the smallest is -0.5: .* squared"),
    ],
)
def test_what_it_lacks_is_named_with_the_cure(losses: Tensor | None, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        LossDensity()(context_of(losses))
    assert "\n" not in str(caught.value)


class Plain(LightningModule):
    """A user's own module, without sample_losses."""

    def __init__(self) -> None:
        super().__init__()
        self.network = KAN([2, 3, 1])

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return nn.functional.mse_loss(self(x), y)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaysLosses(Plain):
    def sample_losses(self, batch: Any) -> Tensor:
        x, y = batch
        return (self(x) - y).square().sum(1)


class SaysTheMean(Plain):
    def sample_losses(self, batch: Any) -> Tensor:
        x, y = batch
        return nn.functional.mse_loss(self(x), y)


def fit(module: LightningModule) -> None:
    x = points()
    trainer = trainer_for(1, GridAdaptationCallback(LossDensity(), {0: 5}))
    trainer.fit(module, DataLoader(TensorDataset(x, x[:, :1].sin()), batch_size=40))


@pytest.mark.filterwarnings("ignore")
def test_a_module_of_ones_own_is_told_what_to_add_and_works_with_it() -> None:
    with pytest.raises(ConfigurationError, match=r"a method sample_losses\(batch\)"):
        fit(Plain())
    with pytest.raises(ConfigurationError, match=r"one loss per sample, \(n,\)"):
        fit(SaysTheMean())
    module = SaysLosses()
    fit(module)
    assert {layer.grid_size for layer in module.network.layers} == {5}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"power": 0}, "power must be positive, got 0: try 0.5"),
        ({"power": float("inf")}, "power must be positive, got inf"),
        ({"epsilon": -1}, "epsilon must be at least 0, got -1"),
        ({"epsilon": float("nan")}, "epsilon must be at least 0, got nan"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        LossDensity(**settings)
