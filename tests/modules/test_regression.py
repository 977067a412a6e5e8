"""A regression module predicts in the user's units and comes back from its checkpoint whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import ReduceLROnPlateau
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import Tensor

from kanlit.callbacks import GridAdaptationCallback
from kanlit.data import FormulaData, SyntheticData, TableData, TensorLoader
from kanlit.errors import ConfigurationError
from kanlit.modules import RegressionModule, regression
from kanlit.selection import Selected, SmoothNetwork
from running import trainer_for


def make(n_in: int = 2, n_out: int = 1, seed: int = 0, **settings: Any) -> RegressionModule:
    torch.manual_seed(seed)
    return RegressionModule(n_in, n_out, hidden=[3], **settings)


def write_table(
    path: Path,
    scale: Sequence[float] = (1.0, 1.0, 1.0),
    shift: Sequence[float] = (0.0, 0.0, 0.0),
    rows: int = 60,
) -> Path:
    """Columns a, b and y, in units that a scale and a shift say."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, 2))
    y = np.sin(2 * x[:, :1]) + x[:, 1:] ** 2
    table = np.hstack([x, y]) * np.array(scale) + np.array(shift)
    np.savetxt(path, table, delimiter=",", header="a,b,y", comments="", fmt="%.17g")
    return path


def table(path: Path) -> TableData:
    return TableData(str(path), ["a", "b"], ["y"])


def predict(module: RegressionModule, data: LightningDataModule, **settings: Any) -> Tensor:
    (batch,) = trainer_for(1, **settings).predict(module, datamodule=data)  # type: ignore[misc]
    assert isinstance(batch, Tensor)
    return batch


# -- loss ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_out", [1, 3])
def test_loss_is_the_mean_square_of_the_errors(n_out: int) -> None:
    module = make(n_out=n_out)
    x, y = torch.rand(20, 2), torch.rand(20, n_out)
    torch.testing.assert_close(module.loss((x, y)), (module(x) - y).square().mean())


@pytest.mark.parametrize("n_out", [1, 3])
def test_losses_of_the_samples_add_up_to_the_loss(n_out: int) -> None:
    module = make(n_out=n_out)
    batch = torch.rand(20, 2), torch.rand(20, n_out)
    losses = module.sample_losses(batch)
    assert losses.shape == (20,)
    torch.testing.assert_close(losses.mean() / n_out, module.loss(batch))


def with_scales(n_out: int = 1) -> RegressionModule:
    module = make(n_out=n_out)
    module.input_mean.copy_(torch.tensor([3.0, -2.0]))
    module.input_std.copy_(torch.tensor([2.0, 0.5]))
    module.target_mean.fill_(7.0)
    module.target_std.fill_(4.0)
    return module


def test_loss_is_that_of_standardised_targets() -> None:
    module = with_scales()
    x, y = 3 + torch.rand(20, 2), 5 + torch.rand(20, 1)
    expected = ((module(x) - y) / 4).square().mean()
    torch.testing.assert_close(module.loss((x, y)), expected)


def test_network_sees_standardised_inputs_and_its_grid_is_adapted_to_them() -> None:
    module = with_scales()
    x = torch.tensor([[5.0, -1.5], [3.0, -2.0]])
    expected = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(module.network_inputs(x), expected)
    torch.testing.assert_close(module.adaptation_inputs((x, x[:, :1])), expected)
    torch.testing.assert_close(module(x), 4 * module.network(expected) + 7)


# -- the user's units ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "shift"),
    [
        ((1000.0, 1e-3, 1.0), (0.0, 0.0, 0.0)),
        ((1.0, 1.0, 250.0), (0.0, 0.0, -40.0)),
        ((8.0, 0.5, 1e4), (300.0, -20.0, 273.0)),
    ],
)
def test_other_units_of_the_table_change_the_predictions_by_the_same_units(
    scale: Sequence[float], shift: Sequence[float], tmp_path: Path
) -> None:
    predictions = []
    for name, units in (("one", ()), ("two", (scale, shift))):
        data, module = table(write_table(tmp_path / f"{name}.csv", *units)), make()
        trainer_for(20, precision="64-true").fit(module, datamodule=data)
        predictions.append(predict(module, data, precision="64-true"))
    expected = predictions[0] * scale[2] + shift[2]
    # Scales are kept in float32 until the module is made double.
    tolerance = 1e-4 * float(expected.std())
    torch.testing.assert_close(predictions[1], expected, rtol=0, atol=tolerance)


def test_scalers_are_those_of_the_training_rows_and_lie_in_the_checkpoint(tmp_path: Path) -> None:
    data = table(write_table(tmp_path / "t.csv", (10.0, 1.0, 100.0), (5.0, 0.0, 50.0)))
    module = make()
    trainer = trainer_for(1)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    ((x, y),) = data.train_dataloader()
    state = torch.load(tmp_path / "m.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(state["input_mean"], x.mean(0))
    torch.testing.assert_close(state["input_std"], x.std(0, correction=0))
    torch.testing.assert_close(state["target_mean"], y.mean(0))
    torch.testing.assert_close(state["target_std"], y.std(0, correction=0))
    torch.testing.assert_close(
        module.adaptation_inputs((x, y)).mean(0), torch.zeros(2), atol=1e-5, rtol=0
    )


def test_predictions_after_loading_are_those_before(tmp_path: Path) -> None:
    data, module = table(write_table(tmp_path / "t.csv", (9.0, 3.0, 70.0))), make()
    trainer = trainer_for(4, GridAdaptationCallback(schedule={0: 3, 2: 7}))
    trainer.fit(module, datamodule=data)
    before = predict(module, data)
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    loaded = RegressionModule.load_from_checkpoint(tmp_path / "m.ckpt")
    assert torch.equal(predict(loaded, data), before)
    # Only a fit sets the scales: another table is predicted on the scales of the first.
    other = table(write_table(tmp_path / "u.csv", (1.0, 1.0, 1.0)))
    x = torch.cat([batch[0] for batch in _predict_batches(other)])
    torch.testing.assert_close(predict(loaded, other), module(x).detach())


def _predict_batches(data: TableData) -> TensorLoader:
    data.setup("predict")
    return data.predict_dataloader()


def test_data_without_scales_are_taken_as_they_are() -> None:
    module = make(n_in=1)
    trainer_for(1).fit(module, datamodule=SyntheticData("f4", samples=50, standardize=False))
    assert torch.equal(module.input_mean, torch.zeros(1))
    assert torch.equal(module.target_std, torch.ones(1))
    x = torch.rand(5, 1)
    assert torch.equal(module.network_inputs(x), x)


# -- checkpoints --------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path: Path) -> tuple[RegressionModule, Path]:
    """A module at G = 12, and its checkpoint."""
    module = make(n_in=1)
    keep = ModelCheckpoint(tmp_path, "m")
    trainer = trainer_for(4, GridAdaptationCallback(schedule={0: 3, 2: 12}), keep)
    trainer.fit(module, datamodule=SyntheticData("f4", samples=80, standardize=False))
    return module, tmp_path / "m.ckpt"


def assert_same_state(one: torch.nn.Module, two: torch.nn.Module) -> None:
    a, b = one.state_dict(), two.state_dict()
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name


def test_a_checkpoint_of_a_grown_grid_loads_without_being_told_the_grid(
    trained: tuple[RegressionModule, Path],
) -> None:
    module, path = trained
    loaded = RegressionModule.load_from_checkpoint(path)
    assert_same_state(module, loaded)
    (first, *_) = loaded.network.layers
    assert first.grid_size == 12
    x = torch.linspace(-1.5, 1.5, 40).unsqueeze(1)
    assert torch.equal(loaded(x), module(x))


@pytest.mark.parametrize("grid_size", [3, 20])
def test_a_fresh_module_tests_from_a_checkpoint_of_another_grid(
    trained: tuple[RegressionModule, Path], grid_size: int
) -> None:
    module, path = trained
    data = SyntheticData("f4", samples=80, standardize=False)
    (expected,) = trainer_for(1).test(module, datamodule=data, verbose=False)
    fresh = make(n_in=1, seed=9, grid_size=grid_size)
    (got,) = trainer_for(1).test(fresh, datamodule=data, ckpt_path=str(path), verbose=False)
    assert got == expected
    assert_same_state(module, fresh)


def test_metrics_in_a_checkpoint_hold_no_sums(trained: tuple[RegressionModule, Path]) -> None:
    content = torch.load(trained[1], weights_only=True)
    assert not [name for name in content["state_dict"] if "error" in name]


# -- metrics ------------------------------------------------------------------------------------


def test_test_error_is_the_relative_error_in_the_user_s_units(tmp_path: Path) -> None:
    data = table(write_table(tmp_path / "t.csv", (1.0, 1.0, 30.0), (0.0, 0.0, 500.0)))
    module = make()
    trainer = trainer_for(3)
    trainer.fit(module, datamodule=data)
    val_rel, val_loss = (float(trainer.callback_metrics[f"val/{n}"]) for n in ("rel_l2", "loss"))
    (got,) = trainer.test(module, datamodule=data, verbose=False)
    data.setup("test")
    for loader, value in (
        (data.test_dataloader(), got["test/rel_l2"]),
        (data.val_dataloader(), val_rel),
    ):
        ((x, y),) = loader
        expected = float((module(x) - y).detach().norm() / y.norm())
        assert value == pytest.approx(expected, rel=1e-5)
    assert val_loss == pytest.approx(float(module.loss((x, y)).detach()), rel=1e-5)


def test_training_loss_is_logged() -> None:
    module = make(n_in=1)
    trainer = trainer_for(2)
    data = SyntheticData("f4", samples=50, standardize=False)
    trainer.fit(module, datamodule=data)
    assert {"train/loss", "val/loss", "val/rel_l2"} <= trainer.callback_metrics.keys()


# -- optimisers ---------------------------------------------------------------------------------

SCHEDULERS: dict[str, tuple[Callable[[Any], Any], list[float]]] = {
    "StepLR": (lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.1), [1e-2, 1e-2, 1e-3, 1e-3]),
    # A threshold that no epoch meets: the rate falls after each epoch but the first.
    "ReduceLROnPlateau": (
        lambda o: ReduceLROnPlateau(
            o, monitor="val/loss", patience=0, factor=0.1, threshold=1.0, threshold_mode="abs"
        ),
        [1e-2, 1e-2, 1e-3, 1e-4],
    ),
}


@pytest.mark.parametrize(("make_scheduler", "rates"), SCHEDULERS.values(), ids=SCHEDULERS.keys())
def test_scheduler_steps_once_an_epoch_across_adaptations(
    make_scheduler: Callable[[Any], Any], rates: list[float]
) -> None:
    seen: list[float] = []

    class Rates(Callback):
        def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
            seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    module = make(n_in=1, lr_scheduler=make_scheduler)
    adaptation = GridAdaptationCallback(schedule={0: 3, 1: 5, 3: 6})
    trainer_for(4, adaptation, Rates()).fit(
        module, datamodule=SyntheticData("f4", samples=50, standardize=False)
    )
    assert seen == pytest.approx(rates)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: torch.optim.LBFGS(p, lr=0.5, max_iter=4),
        lambda p: torch.optim.Adam(p, lr=1e-2),
    ],
    ids=["SGD", "LBFGS", "Adam"],
)
def test_any_optimiser_lowers_the_loss(optimizer: Callable[[Any], Any]) -> None:
    data = SyntheticData("f4", samples=50, standardize=False)
    module = make(n_in=1, optimizer=optimizer)
    data.setup("fit")
    (batch,) = data.train_dataloader()
    before = float(module.loss(batch).detach())
    trainer_for(15).fit(module, datamodule=data)
    assert float(module.loss(batch).detach()) < 0.8 * before


# -- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": [0]}, r"hidden widths must be at least 1, got \[0\]"),
        ({"hidden": [4, -1]}, r"hidden widths must be at least 1, got \[4, -1\]"),
        ({"spline_order": 0}, "spline_order must be between 1 and 5, got 0"),
        ({"spline_order": 6}, "spline_order must be between 1 and 5, got 6"),
        ({"grid_size": 0}, "grid_size must be at least 1, got 0"),
        ({"outside": "clamp"}, "outside must be .* got 'clamp'"),
        ({"initialization": "random"}, "initialization must be .* got 'random'"),
        ({"in_features": 0}, "at least one input"),
        ({"out_features": 0}, "at least one"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        RegressionModule(**{"in_features": 2, "out_features": 1, **settings})
    assert "\n" not in str(caught.value)


def test_a_network_without_hidden_layers_is_one_layer() -> None:
    assert len(RegressionModule(2, 1, hidden=[]).network.layers) == 1


@pytest.mark.parametrize(("standardize", "said"), [(False, True), (True, False)])
def test_a_start_far_from_the_scale_of_the_targets_is_said(
    standardize: bool, said: bool, recwarn: pytest.WarningsRecorder
) -> None:
    bounds = {"x": [50000.0, 100000.0]}
    data = FormulaData("y = x / 100000", bounds, samples=20, standardize=standardize)
    trainer_for(1).fit(RegressionModule(1, 1, hidden=[3]), datamodule=data)
    assert any("times the variance of the targets" in str(w.message) for w in recwarn) is said


def test_weights_that_the_selection_found_are_not_rounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Tensor] = []

    def select(x: Tensor, y: Tensor, build: Any, *args: Any, **settings: Any) -> Selected:
        fit = SmoothNetwork(build([], 3, 5, torch.Generator()), x, y).train(1)
        found.append(fit.layers[0].coefficients.detach().clone())
        return Selected(fit, ())

    class Compare(Callback):
        def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
            assert torch.equal(pl_module.network.layers[0].coefficients, found[0])

    monkeypatch.setattr(regression, "select_network", select)
    module = RegressionModule(2, 1, hidden="auto", grid_size="auto", spline_order="auto")
    trainer = trainer_for(1, Compare(), precision="64-true")
    trainer.fit(module, table(write_table(tmp_path / "t.csv")))
    assert len(found) == 1
    assert (module.hparams["grid_size"], module.hparams["spline_order"]) == (3, 5)


def test_errors_by_target_are_those_of_scikit_learn(tmp_path: Path) -> None:
    data = SyntheticData("f4", samples=50)
    trainer = trainer_for(1)
    module = make()
    trainer.fit(module, datamodule=data)
    (found,) = trainer.test(module, datamodule=data, verbose=False)
    x, y = data.part_rows("test")
    with torch.no_grad():
        predicted = module(x.float()).double()
    assert found["test/r2/y"] == pytest.approx(r2_score(y, predicted), rel=1e-4)
    assert found["test/rmse/y"] == pytest.approx(root_mean_squared_error(y, predicted), rel=1e-4)
    assert found["test/mae/y"] == pytest.approx(mean_absolute_error(y, predicted), rel=1e-4)
