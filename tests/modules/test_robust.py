"""A robust loss is the pseudo-Huber loss, in units of the targets' spread, for any optimiser."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from kanlit.callbacks import Checkpoint, GridAdaptationCallback
from kanlit.data import HelmholtzData, SyntheticData
from kanlit.errors import ConfigurationError
from kanlit.modules import RegressionModule
from kanlit.modules.robust import pseudo_huber_residual
from kanlit.optim import LevenbergMarquardt
from kanlit.scaling import spread_of
from running import trainer_for


def fit(module: RegressionModule, data: Any, epochs: int = 3, **settings: Any) -> Trainer:
    adaptation = GridAdaptationCallback(schedule={0: 3})
    callbacks = [adaptation, *settings.pop("callbacks", [])]
    trainer = trainer_for(epochs, *callbacks, precision="64-true", **settings)
    if isinstance(data, DataLoader):
        trainer.fit(module, data)
    else:
        trainer.fit(module, datamodule=data)
    return trainer


# -- the loss ---------------------------------------------------------------------------------


def test_its_square_is_the_pseudo_huber_loss_and_its_sign_that_of_the_residual() -> None:
    r = torch.linspace(-40, 40, 401, dtype=torch.float64).unsqueeze(1)
    delta = torch.tensor([0.7], dtype=torch.float64)

    rho = pseudo_huber_residual(r, delta)

    torch.testing.assert_close(rho**2, 2 * delta**2 * ((1 + (r / delta) ** 2).sqrt() - 1))
    assert torch.equal(rho.sign(), r.sign())


def test_small_residuals_count_as_they_are_and_large_ones_by_their_size() -> None:
    delta = torch.tensor([1.0], dtype=torch.float64)
    small = torch.tensor([[1e-4], [-1e-5]], dtype=torch.float64)
    large = torch.tensor([[1e6], [2e6]], dtype=torch.float64)

    torch.testing.assert_close(pseudo_huber_residual(small, delta), small, rtol=1e-8, atol=0)
    one, two = pseudo_huber_residual(large, delta).square()
    assert float(two / one) == pytest.approx(2, rel=1e-5)


def test_it_is_smooth_to_the_second_derivative_and_finite_at_the_ends() -> None:
    r = torch.tensor([[0.0], [1e-9], [1.0], [-3.0]], dtype=torch.float64, requires_grad=True)
    delta = torch.tensor([0.5], dtype=torch.float64)

    assert torch.autograd.gradcheck(lambda r: pseudo_huber_residual(r, delta), r)
    assert torch.autograd.gradgradcheck(lambda r: pseudo_huber_residual(r, delta), r)
    assert bool(pseudo_huber_residual(torch.tensor([1e200], dtype=torch.float64), delta).isfinite())


# -- its scale --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "spread"),
    [
        ([1.0, 2.0, 3.0, 4.0, 1000.0], 1.0),
        ([5.0, 5.0, 5.0, 5.0, 10.0], 1.0),  # the median deviation is 0: the mean one
        ([2.0, 2.0, 2.0], 1.0),  # a constant
    ],
)
def test_spread_is_the_median_absolute_deviation(column: list[float], spread: float) -> None:
    columns = torch.tensor([column, [10 * value for value in column]]).T
    wide = spread if len(set(column)) == 1 else 10 * spread

    torch.testing.assert_close(spread_of(columns), torch.tensor([spread, wide]).double())


def test_a_spread_of_rounding_errors_counts_as_none() -> None:
    targets = torch.tensor([[0.0], [7e-225], [-7e-225], [0.0], [7e-225], [3.0]]).double()
    targets[1, 0], targets[2, 0], targets[4, 0] = 7e-225, -7e-225, 7e-225
    torch.testing.assert_close(spread_of(targets), torch.tensor([0.5]).double())


def test_the_same_settings_mean_the_same_loss_in_other_units() -> None:
    """Targets a thousand times as large, and a network as much: a loss a million times as large."""
    data = SyntheticData("f2", samples=50, standardize=False)
    module = RegressionModule(1, 1, hidden=[], robust=0.5).double()
    x = torch.rand(50, 1, dtype=torch.float64)
    y = torch.sin(3 * x)
    module.target_spread.copy_(spread_of(y))
    loss = module.loss((x, y)).item()
    with torch.no_grad():
        for name, parameter in module.network.named_parameters():
            if "edge_scale" not in name:
                parameter.mul_(1000)
    module.target_spread.copy_(spread_of(1000 * y))

    assert module.loss((x, 1000 * y)).item() == pytest.approx(1e6 * loss, rel=1e-9)
    with pytest.warns(UserWarning, match="times the variance of the targets"):
        fit(module, data)
    train = data.train_dataloader()
    torch.testing.assert_close(module.target_spread, spread_of(next(iter(train))[1]))


# -- training ---------------------------------------------------------------------------------


def spoilt() -> tuple[Any, Tensor, SyntheticData]:
    """f4 with three samples that are a thousand times off, and the clean ones."""
    data = SyntheticData("f4", samples=200, standardize=False)
    data.setup("fit")
    x, y = data._parts["train"]
    clean = y.clone()
    y[::70] += 1000.0
    return x, clean, data


@pytest.mark.parametrize("optimizer", [LevenbergMarquardt, torch.optim.Adam])
def test_a_few_wild_samples_do_not_spoil_the_rest(optimizer: Any) -> None:
    errors = {}
    options: dict[str, Any] = {} if optimizer is LevenbergMarquardt else {"lr": 0.03}
    for robust in (None, 0.5):
        torch.manual_seed(0)
        x, clean, data = spoilt()
        module = RegressionModule(
            1, 1, hidden=[3], robust=robust, optimizer=lambda p: optimizer(p, **options)
        )
        epochs = 40 if optimizer is LevenbergMarquardt else 200
        fit(module, data, epochs=epochs, limit_val_batches=0)
        with torch.no_grad():
            errors[robust] = float((module.double()(x) - clean).abs().median())

    assert errors[0.5] < 0.1 * errors[None]  # type: ignore[index]


def test_validation_logs_the_robust_loss_and_the_plain_error() -> None:
    data = SyntheticData("f2", samples=50, standardize=False)
    module = RegressionModule(1, 1, hidden=[2], robust=0.1)
    trainer = fit(module, data, epochs=1)
    (batch,) = data.val_dataloader()
    module.double()
    with torch.no_grad():
        error = module(batch[0]) - batch[1]
        loss = float(module.loss(batch))

    assert float(trainer.callback_metrics["val/loss"]) == pytest.approx(loss, rel=1e-6)
    assert loss < float(error.square().mean())
    assert float(trainer.callback_metrics["val/rel_l2"]) == pytest.approx(
        float(error.norm() / batch[1].norm()), rel=1e-6
    )


def test_a_checkpoint_brings_the_spread(tmp_path: Path) -> None:
    data = SyntheticData("f3", samples=50, standardize=False)
    module = RegressionModule(2, 1, hidden=[2], robust=2.0)
    fit(module, data, callbacks=[Checkpoint(dirpath=str(tmp_path))])

    loaded = RegressionModule.load_from_checkpoint(tmp_path / "last.ckpt")

    assert loaded.robust == 2.0
    torch.testing.assert_close(loaded.double().target_spread, module.double().target_spread)
    assert float(loaded.target_spread) != 1.0


# -- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize("robust", [0.0, -1.0, math.inf, math.nan])
def test_robust_must_be_positive(robust: float) -> None:
    with pytest.raises(ConfigurationError, match="robust must be above 0 or null"):
        RegressionModule(1, 1, robust=robust)


def test_data_that_does_not_know_its_spread_is_refused_before_training() -> None:
    loader = DataLoader(TensorDataset(torch.rand(8, 1), torch.rand(8, 1)))

    with pytest.raises(ConfigurationError, match="robust needs the spread"):
        fit(RegressionModule(1, 1, robust=1.0), loader)


def test_an_equation_has_no_spread() -> None:
    data = HelmholtzData(points_per_axis=4, boundary_points=4)
    data.setup("fit")

    assert data.target_spread() is None
