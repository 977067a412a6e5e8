"""A classification module: its loss, its metrics, its probabilities, and adaptation under it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from kanlit.adaptation import (
    AdaptationReport,
    BlendedDensity,
    CurvatureDensity,
    ImportanceDensity,
    InputDensity,
    LossDensity,
)
from kanlit.callbacks import Calibrate, Checkpoint, GridAdaptationCallback
from kanlit.checkpoints import AtomicCheckpointIO
from kanlit.data import HelmholtzData, ScikitData, SyntheticData, TableData
from kanlit.errors import ConfigurationError
from kanlit.modules import ClassificationModule, PDEModule
from kanlit.modules.classification import best_temperature
from kanlit.optim import LevenbergMarquardt
from running import trainer_for

Batch = tuple[Tensor, Tensor]


def make(classes: int = 3, n_in: int = 4, **settings: Any) -> ClassificationModule:
    torch.manual_seed(0)
    return ClassificationModule(n_in, classes, hidden=[5], **settings)


def batch(rows: int = 30, classes: int = 3) -> Batch:
    return torch.randn(rows, 4), torch.randint(classes, (rows,))


# -- loss and probabilities ---------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_loss_is_torch_s_cross_entropy_of_numbers_and_of_one_hot_targets(classes: int) -> None:
    module, (x, y) = make(classes), batch(classes=classes)
    expected = nn.CrossEntropyLoss()(module.logits(x), y)

    torch.testing.assert_close(module.loss((x, y)), expected)
    torch.testing.assert_close(module.loss((x, F.one_hot(y, classes).float())), expected)


def test_losses_of_the_samples_are_those_of_each_class_s_probability() -> None:
    module, (x, y) = make(), batch()
    losses = module.sample_losses((x, y))

    torch.testing.assert_close(losses, -module(x)[torch.arange(len(x)), y].log())
    torch.testing.assert_close(losses.mean(), module.loss((x, y)))


def test_probabilities_are_positive_and_sum_to_one_far_outside_the_grid_too() -> None:
    module = make()
    p = module(100 * torch.randn(50, 4))

    assert bool((p >= 0).all())
    torch.testing.assert_close(p.sum(1), torch.ones(50))


def test_network_sees_inputs_on_the_scale_of_the_training_rows() -> None:
    data, module = ScikitData("wine"), make(n_in=13)
    trainer_for(1).fit(module, datamodule=data)
    ((x, _),) = data.train_dataloader()
    z = module.network_inputs(x)

    assert z.mean(0).abs().max() < 1e-4
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(13), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(module.adaptation_inputs((x, x)), z)


# -- metrics ------------------------------------------------------------------------------------


def test_metrics_of_the_test_are_scikit_learn_s() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    data, module = ScikitData("iris", test=0.4), make()
    trainer = trainer_for(5)
    trainer.fit(module, datamodule=data)
    assert {"val/loss", "val/accuracy"} <= set(trainer.callback_metrics)
    (tested,) = trainer.test(module, datamodule=data, verbose=False)
    ((x, y),) = data.test_dataloader()
    p, labels = module(x).detach(), y.argmax(1)
    chosen = p.argmax(1)

    assert tested["test/accuracy"] == pytest.approx(metrics.accuracy_score(labels, chosen))
    assert tested["test/f1"] == pytest.approx(metrics.f1_score(labels, chosen, average="macro"))
    p = p.double() / p.double().sum(1, keepdim=True)
    assert tested["test/loss"] == pytest.approx(metrics.log_loss(labels, p), rel=1e-4)
    expected = expected_calibration_error(p, labels)
    assert tested["test/calibration_error"] == pytest.approx(expected, rel=1e-4)


def expected_calibration_error(p: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Σ (rows in a bin)/(rows) · |accuracy − confidence|, by its definition."""
    confidence, chosen = p.max(1)
    place = (confidence * bins).ceil().long().clamp(min=1) - 1
    total = 0.0
    for number in range(bins):
        mine = place == number
        if bool(mine.any()):
            gap = (chosen[mine] == labels[mine]).float().mean() - confidence[mine].mean()
            total += float(gap.abs()) * int(mine.sum()) / len(labels)
    return total


# -- training -----------------------------------------------------------------------------------

DENSITIES: dict[str, Callable[[], ImportanceDensity]] = {
    "input": InputDensity,
    "curvature": CurvatureDensity,
    "loss": LossDensity,
    "blended": BlendedDensity,
}


class Kept(Callback):
    """Logits on the training rows before and after each adaptation, with the refit error."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.found: list[tuple[Tensor, Tensor, float]] = []
        self._before = Tensor()

    @torch.no_grad()
    def before_grid_adaptation(
        self, trainer: Trainer, module: ClassificationModule, grid_size: int | None
    ) -> None:
        self._before = module.logits(self.x)

    @torch.no_grad()
    def on_grid_adaptation(
        self, trainer: Trainer, module: ClassificationModule, report: AdaptationReport
    ) -> None:
        self.found.append((self._before, module.logits(self.x), report.refit_error))


@pytest.mark.parametrize("make_density", DENSITIES.values(), ids=DENSITIES.keys())
def test_adaptation_keeps_the_logits_within_the_refit_error(
    make_density: Callable[[], ImportanceDensity],
) -> None:
    data, module = ScikitData("iris"), make()
    data.setup("fit")
    ((x, _),) = data.train_dataloader()
    kept = Kept(x)
    adapting = GridAdaptationCallback(make_density(), {0: 3, 40: 24})
    trainer_for(60, kept, adapting).fit(module, datamodule=data)

    assert len(kept.found) == 2
    before, after, error = kept.found[-1]
    assert float((after - before).norm() / before.norm()) <= 3 * error + 1e-5  # of two layers
    (layer, *_) = module.network.layers
    assert layer.grid_size == 24


def test_training_learns_the_classes() -> None:
    data, module = ScikitData("iris"), make()
    trainer = trainer_for(100, GridAdaptationCallback(schedule=[3, 5]))
    trainer.fit(module, datamodule=data)
    (tested,) = trainer.test(module, datamodule=data, verbose=False)

    assert tested["test/accuracy"] > 0.85


def test_a_checkpoint_predicts_what_its_module_did(tmp_path: Path) -> None:
    data, module = ScikitData("iris"), make()
    trainer = trainer_for(4, GridAdaptationCallback(schedule={0: 3, 2: 6}))
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    loaded = ClassificationModule.load_from_checkpoint(tmp_path / "m.ckpt")
    x = data.rows()[0].float()

    assert torch.equal(loaded(x), module(x))


def test_lbfgs_takes_the_loss() -> None:
    module = make(optimizer=lambda p: torch.optim.LBFGS(p, max_iter=3))
    data = ScikitData("iris")
    trainer = trainer_for(3)
    trainer.fit(module, datamodule=data)
    assert float(trainer.callback_metrics["val/loss"]) < 1.0


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("scheduled", [False, True])
def test_least_squares_is_refused_before_training(scheduled: bool) -> None:
    module = make(optimizer=LevenbergMarquardt)
    with pytest.raises(ConfigurationError, match=r"LevenbergMarquardt .* use torch.optim.Adam"):
        trainer_for(1).fit(module, datamodule=ScikitData("iris"))
    with pytest.raises(ConfigurationError, match="cross-entropy has no residuals"):
        module.residuals(batch())


def test_one_output_is_no_choice() -> None:
    with pytest.raises(ConfigurationError, match=r"at least 2 classes, got 1 .* RegressionModule"):
        make(1)


def test_data_without_classes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b,y", *(f"{i},{i},{i}" for i in range(30))]))
    for data in (
        TableData(str(path), ["a"], ["b", "y"]),
        SyntheticData("f1", 20, standardize=False),
    ):
        module = make(2, n_in=data.in_features)
        with pytest.raises(ConfigurationError, match="needs data with classes") as caught:
            trainer_for(1).fit(module, datamodule=data)
        assert "\n" not in str(caught.value)


# -- calibration --------------------------------------------------------------------------------


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_is_that_with_which_the_classes_were_drawn(true: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20000, 4, generator=generator)
    labels = torch.multinomial((logits / true).softmax(1), 1, generator=generator)[:, 0]
    assert best_temperature(logits, labels) == pytest.approx(true, rel=0.05)


def test_a_few_rows_without_an_error_leave_the_probabilities_below_one() -> None:
    logits, labels = 5 * torch.eye(3), torch.arange(3)
    assert 0.5 < best_temperature(logits, labels) < 1.0


def test_a_calibrated_run_keeps_its_classes_and_lowers_the_validation_loss(tmp_path: Path) -> None:
    data, module = ScikitData("wine"), make(n_in=13)
    keep = Checkpoint(dirpath=str(tmp_path))
    options: dict[str, Any] = {"enable_checkpointing": True, "plugins": [AtomicCheckpointIO()]}
    trainer = trainer_for(300, Calibrate(), keep, check_val_every_n_epoch=300, **options)
    trainer.fit(module, datamodule=data)
    ((x, y),) = data.val_dataloader()
    calibrated, temperature = module(x), float(module.temperature)
    before = float(trainer.callback_metrics["val/loss"])
    assert temperature != 1.0
    assert float(F.cross_entropy(calibrated.log(), y)) < before
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert float(state["temperature"]) == temperature
    # The best checkpoint is of the same weights, but was written before the end of training.
    state = torch.load(tmp_path / "best.ckpt", weights_only=True)["state_dict"]
    assert float(state["temperature"]) == pytest.approx(temperature)
    module.temperature.fill_(1.0)
    assert torch.equal(module(x).argmax(1), calibrated.argmax(1))


def test_calibration_of_another_module_is_refused_before_the_first_validation() -> None:
    data = HelmholtzData(points_per_axis=8, boundary_points=5)  # its batches are mappings
    trainer = trainer_for(1, Calibrate(), num_sanity_val_steps=1)
    with pytest.raises(ConfigurationError, match="got PDEModule: remove Calibrate"):
        trainer.fit(PDEModule(2, 1), datamodule=data)
