"""A run ends no worse on validation than it ever was, whatever happened on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from kanlit.adaptation import PlateauTrigger, Trigger, kan_layers
from kanlit.callbacks import Checkpoint, GridAdaptationCallback, KeepBest
from kanlit.checkpoints import AtomicCheckpointIO
from kanlit.data import TensorLoader
from kanlit.errors import ConfigurationError
from kanlit.modules import RegressionModule
from kanlit.optim import LevenbergMarquardt
from running import trainer_for


def pairs(count: int, noise: float, seed: int) -> TensorLoader:
    generator = torch.Generator().manual_seed(seed)
    x = torch.linspace(-1, 1, count).unsqueeze(1)
    y = torch.sin(3 * x) + noise * torch.randn(count, 1, generator=generator)
    return TensorLoader((x, y))


class Seen(Callback):
    """The validation loss and G after each epoch, and the loss that each stage began with."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.sizes: list[int] = []
        self.starts: list[float] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.losses.append(float(trainer.callback_metrics["val/loss"]))
        self.sizes.append(max(layer.grid_size for layer in kan_layers(pl_module).values()))

    def before_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, grid_size: int | None
    ) -> None:
        self.starts.append(validation_loss(pl_module))


def validation_loss(module: LightningModule) -> float:
    assert isinstance(module, RegressionModule)
    x, y = next(iter(pairs(50, 0.0, 1)))
    with torch.no_grad():
        return float(module.loss((x.to(module.network.layers[0].knots), y)))


def fit(
    *callbacks: Callback,
    schedule: Any = None,
    trigger: Trigger | None = None,
    final_adaptations: int | None = None,
    epochs: int = 60,
    optimizer: Any = lambda p: torch.optim.Adam(p, lr=5e-2),
    start: Path | None = None,
    **settings: Any,
) -> tuple[RegressionModule, Trainer, Seen]:
    torch.manual_seed(0)
    module = RegressionModule(1, 1, hidden=[3], optimizer=optimizer)
    adaptation = GridAdaptationCallback(
        schedule=schedule or {0: 3, 20: 10, 40: 25},
        trigger=trigger,
        final_adaptations=final_adaptations,
    )
    seen = Seen()
    trainer = trainer_for(epochs, adaptation, *callbacks, seen, **settings)
    trainer.fit(module, pairs(30, 0.3, 0), pairs(50, 0.0, 1), ckpt_path=start)
    return module, trainer, seen


@pytest.fixture(scope="module")
def kept() -> tuple[RegressionModule, Seen]:
    """A run that keeps the best."""
    module, _, seen = fit(KeepBest())
    return module, seen


def test_the_run_ends_with_the_lowest_validation_loss_and_the_grid_it_was_reached_on(
    kept: tuple[RegressionModule, Seen],
) -> None:
    module, seen = kept
    best = min(seen.losses)
    assert validation_loss(module) == pytest.approx(best, rel=1e-6)
    assert module.network.layers[0].grid_size == seen.sizes[seen.losses.index(best)]
    # The noise is learnt on fine grids, so that what is put back is of another G than the last.
    assert module.network.layers[0].grid_size < seen.sizes[-1] == 25
    assert seen.losses[-1] > 1.5 * best


def test_each_stage_begins_with_the_best_before_it(kept: tuple[RegressionModule, Seen]) -> None:
    _, seen = kept
    assert len(seen.starts) == 3
    for start, epoch in zip(seen.starts[1:], (20, 40), strict=True):
        assert start == pytest.approx(min(seen.losses[:epoch]), rel=1e-6)
        assert start < seen.losses[epoch - 1]


def test_without_it_the_run_ends_where_it_stands() -> None:
    module, _, seen = fit()
    assert validation_loss(module) == pytest.approx(seen.losses[-1], rel=1e-6)
    assert module.network.layers[0].grid_size == 25


def test_an_optimizer_is_reset_when_the_best_is_restored() -> None:
    for optimizer in (lambda p: torch.optim.LBFGS(p, max_iter=3), LevenbergMarquardt):
        schedule = {0: 3, 8: 10, 16: 25}
        module, _, seen = fit(KeepBest(), optimizer=optimizer, schedule=schedule, epochs=24)
        assert validation_loss(module) == pytest.approx(min(seen.losses), rel=1e-5)
        assert all(torch.isfinite(torch.tensor(seen.losses)))


def stages() -> dict[str, Any]:
    return {
        "trigger": PlateauTrigger(patience=3, threshold=0.2, cooldown=0, monitor="val/loss"),
        "schedule": [3, 6, 12],
        "final_adaptations": 1,
        "epochs": 200,
    }


def test_validation_ends_stages_and_the_run() -> None:
    _, trainer, seen = fit(KeepBest(), **stages())
    assert len(seen.starts) == 4  # three sizes, and the last once more
    assert trainer.current_epoch < 100
    # Each stage went on for as long as validation improved by a fifth within three epochs.
    ends = [
        epoch for epoch in range(1, len(seen.sizes)) if seen.sizes[epoch] != seen.sizes[epoch - 1]
    ]
    for end in ends:
        assert min(seen.losses[end - 3 : end]) > 0.8 * min(seen.losses[: end - 3])


@pytest.mark.parametrize("settings", [{}, stages()], ids=["schedule", "validation"])
def test_a_resumed_run_ends_as_an_unbroken_one(settings: dict[str, Any], tmp_path: Path) -> None:
    class Copies(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            last = tmp_path / "whole" / "last.ckpt"
            if last.exists() and trainer.current_epoch % 4 == 0:
                copy(trainer.current_epoch).write_bytes(last.read_bytes())

    def copy(epoch: int) -> Path:
        return tmp_path / f"{epoch}.ckpt"

    def run(folder: str, start: Path | None = None, *more: Callback) -> Any:
        keep = Checkpoint(dirpath=str(tmp_path / folder), every_n_epochs=4)
        plan = {**settings, **({"trigger": stages()["trigger"]} if settings else {})}
        return fit(
            KeepBest(), *more, keep, **plan, start=start,
            enable_checkpointing=True, plugins=[AtomicCheckpointIO()],
        )  # fmt: skip

    module, trainer, _ = run("whole", None, Copies())
    starts = sorted(tmp_path.glob("*.ckpt"))
    assert len(starts) > 3
    for start in starts[:: max(1, len(starts) // 4)]:
        again, second, _ = run(start.stem, start)
        assert second.current_epoch == trainer.current_epoch
        for name, value in module.state_dict().items():
            assert torch.equal(value, again.state_dict()[name]), (start, name)


def test_a_metric_that_is_not_logged_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match=r"'val/los', which .* val/loss, val/rel_l2"):
        fit(KeepBest("val/los"))
    trigger = PlateauTrigger(monitor="val/los", at_start=False)
    with pytest.raises(ConfigurationError, match=r"'val/los', which .* val/loss, val/rel_l2"):
        fit(schedule=[3, 5], trigger=trigger)


def test_without_validation_it_says_what_it_needs() -> None:
    with pytest.raises(ConfigurationError, match="KeepBest needs validation data"):
        fit(KeepBest(), limit_val_batches=0)


@pytest.mark.parametrize(
    ("count", "trigger"), [(-1, PlateauTrigger()), (1, None)], ids=["negative", "no trigger"]
)
def test_final_adaptations_need_a_trigger_and_a_count(count: int, trigger: Any) -> None:
    with pytest.raises(ConfigurationError, match="final_adaptations must be at least 0 and needs"):
        GridAdaptationCallback(schedule=[3], trigger=trigger, final_adaptations=count)


@pytest.mark.parametrize("every", [7, 60])
def test_the_last_checkpoint_has_the_best_whenever_the_one_before_it_was_written(
    every: int, tmp_path: Path
) -> None:
    keep = Checkpoint(dirpath=str(tmp_path), every_n_epochs=every)
    module, _, _ = fit(KeepBest(), keep, enable_checkpointing=True)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    for name, tensor in module.state_dict().items():
        assert torch.equal(kept[name], tensor)


def test_a_stage_that_did_not_improve_is_not_repeated() -> None:
    _, _, seen = fit(KeepBest(), schedule={0: 3, 10: 25, 30: 25, 50: 25}, epochs=70)
    second, third = seen.losses[30:50], seen.losses[50:70]
    assert min(second) > min(seen.losses[:30])  # nothing better to start the third from
    assert third != second
