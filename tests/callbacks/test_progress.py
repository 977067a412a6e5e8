"""The bar counts epochs, from where the run starts to where it ends, and costs little."""

import io
import pickle
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kanlit.callbacks import progress
from kanlit.callbacks.progress import EpochProgressBar, grid_description, run_length
from running import trainer_for


class Grid(nn.Linear):
    grid_size = 3


class Module(LightningModule):
    def __init__(self, prog_bar: bool = False) -> None:
        super().__init__()
        self.net = Grid(1, 1)
        self.prog_bar = prog_bar

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        loss = self.net(batch[0]).square().mean()
        self.log("train_loss", loss, prog_bar=self.prog_bar)
        return loss

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        self.log("val_relative_l2", 0.25)
        self.log("val_other", 0.5)
        self.log("val_loss", 0.5)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Watch(Callback):
    """Notes the bar's (position, total, unit) at each epoch's end, and its words at the last."""

    def __init__(self, bar: EpochProgressBar) -> None:
        self.bar = bar
        self.seen: list[tuple[int, int | None, str]] = []
        self.line = ""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.bar.bar is not None:
            self.seen.append((self.bar.bar.n, self.bar.bar.total, self.bar.bar.unit))
            self.line = str(self.bar.bar)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stream = Terminal()
    # Not sys.stderr itself: pytest's capture takes it back between setup and test.
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setattr(progress, "TERMINAL_SECONDS", 0.0)
    return stream


def trainer_with(root: Path, *callbacks: Callback, **options: Any) -> Trainer:
    own = {"default_root_dir": root, "enable_progress_bar": True, **options}
    return trainer_for(own.pop("max_epochs", None), *callbacks, **own)


def loader(batches: int = 1) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(torch.rand(2 * batches, 1)), batch_size=2)


def watched_fit(
    root: Path, module: LightningModule | None = None, batches: int = 1, **options: Any
) -> Watch:
    watch = Watch(bar := EpochProgressBar())
    trainer = trainer_with(root, bar, watch, **options)
    trainer.fit(module or Module(), loader(batches), loader())
    return watch


@pytest.mark.usefixtures("terminal")
def test_bar_counts_each_epoch_up_to_the_last(tmp_path: Path) -> None:
    watch = watched_fit(tmp_path, max_epochs=3)
    assert watch.seen == [(1, 3, "epoch"), (2, 3, "epoch"), (3, 3, "epoch")]


@pytest.mark.usefixtures("terminal")
def test_bar_counts_steps_where_only_steps_limit_the_run(tmp_path: Path) -> None:
    watch = watched_fit(tmp_path, batches=2, max_epochs=-1, max_steps=4)
    assert watch.seen == [(2, 4, "step"), (4, 4, "step")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_epochs": 7}, (7, "epoch")),
        ({"max_steps": 7}, (7, "step")),
        ({"max_epochs": 7, "max_steps": 5}, (3, "epoch")),
        ({"max_epochs": 2, "max_steps": 500}, (2, "epoch")),
        ({"max_epochs": 7, "max_steps": 3, "accumulate_grad_batches": 2}, (3, "epoch")),
        ({"max_epochs": -1, "max_time": "00:01:00:00"}, (None, "epoch")),
    ],
)
def test_length_of_the_run_is_whatever_ends_it_first(
    tmp_path: Path, options: dict[str, Any], expected: tuple[int | None, str]
) -> None:
    class Length(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            self.length = run_length(trainer)
            trainer.should_stop = True

    length = Length()
    trainer = trainer_with(tmp_path, length, enable_progress_bar=False, **options)
    trainer.fit(Module(), loader(batches=2))
    assert length.length == expected


@pytest.mark.usefixtures("terminal")
def test_resumed_run_starts_at_its_epoch(tmp_path: Path) -> None:
    first = trainer_with(tmp_path, EpochProgressBar(), max_epochs=3)
    first.fit(Module(), loader(), loader())
    first.save_checkpoint(tmp_path / "three.ckpt")
    watch = Watch(bar := EpochProgressBar())
    resumed = trainer_with(tmp_path, bar, watch, max_epochs=5)
    resumed.fit(Module(), loader(), loader(), ckpt_path=tmp_path / "three.ckpt", weights_only=True)
    assert watch.seen == [(4, 5, "epoch"), (5, 5, "epoch")]


def test_line_shows_the_grid_size_and_the_metrics(tmp_path: Path, terminal: Terminal) -> None:
    watched_fit(tmp_path, max_epochs=2)
    last = terminal.getvalue().split("\r")[-1]
    assert last.startswith("G 3 | ")
    assert " | 100 %|" in last
    assert "2/2 epochs" in last
    assert "train_loss " in last
    assert "val_relative_l2 0.25" in last
    assert "val_other" not in last
    assert last.endswith("\n")  # what is printed next starts on its own line


@pytest.mark.usefixtures("terminal")
def test_all_numbers_fit_a_terminal_of_80_columns(tmp_path: Path) -> None:
    class Metrics(Callback):
        line = ""

        def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            bar = trainer.progress_bar_callback
            assert isinstance(bar, EpochProgressBar)
            assert bar.bar is not None
            for metrics in (trainer.progress_bar_metrics, trainer.callback_metrics):
                metrics.clear()
                metrics.update({"train/loss": 1.5e-6, "val/rel_l2": 6.5e-3})  # type: ignore[dict-item]
            bar.bar.total = 20000
            bar._refresh(trainer, pl_module, 20000)
            sizes = {"ncols": 80, "elapsed": 3e4, "rate": None}
            Metrics.line = bar.bar.format_meter(**{**bar.bar.format_dict, **sizes})

    trainer = trainer_with(tmp_path, Metrics(), EpochProgressBar(), max_epochs=1)
    trainer.fit(Module(prog_bar=True), loader(), loader())
    assert Metrics.line.startswith("G 3 | loss 1.5e-06 | L2 6.5e-03 | 100 %|")
    assert Metrics.line.endswith("| 20000/20000 epochs 8:20:00<00:00")
    assert len(Metrics.line) <= 80


@pytest.mark.usefixtures("terminal")
def test_metrics_logged_for_the_bar_stand_beside_the_relative_error(tmp_path: Path) -> None:
    watch = watched_fit(tmp_path, Module(prog_bar=True), max_epochs=3)
    assert "train_loss" in watch.line
    assert "val_relative_l2" in watch.line
    assert "val_loss" not in watch.line


def test_long_epoch_shows_its_batches(tmp_path: Path, terminal: Terminal) -> None:
    watched_fit(tmp_path, batches=3, max_epochs=1)
    assert "batch 2/3" in terminal.getvalue()


def test_bar_is_redrawn_no_more_often_than_its_interval(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "TERMINAL_SECONDS", 60.0)
    watched_fit(tmp_path, max_epochs=50)
    # Opened, first epoch, end, and the closing line.
    assert terminal.getvalue().count("\r") <= 6


def test_epoch_between_two_redraws_costs_microseconds(tmp_path: Path) -> None:
    bar = EpochProgressBar()
    trainer = trainer_with(tmp_path, bar, max_epochs=1)
    trainer.fit(Module(), loader())
    bar.on_train_start(trainer, trainer.lightning_module)
    bar.on_train_epoch_end(trainer, trainer.lightning_module)
    start = time.perf_counter()
    for _ in range(1000):
        bar.on_train_epoch_end(trainer, trainer.lightning_module)
    assert time.perf_counter() - start < 0.05  # 50 µs an epoch, on a busy machine
    bar.teardown(trainer, trainer.lightning_module, "fit")


@pytest.mark.usefixtures("terminal")
def test_exception_closes_the_bar(tmp_path: Path) -> None:
    class Failing(Module):
        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            raise RuntimeError("no")

    bar = EpochProgressBar()
    with pytest.raises(RuntimeError, match="no"):
        trainer_with(tmp_path, bar, max_epochs=2).fit(Failing(), loader())
    assert bar.bar is None


def test_other_ranks_draw_nothing(tmp_path: Path, terminal: Terminal) -> None:
    with patch.object(Trainer, "is_global_zero", False):
        assert watched_fit(tmp_path, max_epochs=2).seen == []
    assert terminal.getvalue() == ""


def test_disabled_bar_draws_nothing_and_still_prints(
    tmp_path: Path, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = EpochProgressBar()
    bar.disable()
    trainer_with(tmp_path, bar, max_epochs=2).fit(Module(), loader())
    bar.print("a", "b", sep="-")
    assert terminal.getvalue() == ""
    assert capsys.readouterr().out.endswith("a-b\n")


def test_print_of_a_module_goes_above_the_bar(
    tmp_path: Path, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    class Speaking(Module):
        def on_train_epoch_start(self) -> None:
            self.print("epoch", self.current_epoch)

    watched_fit(tmp_path, Speaking(), max_epochs=2)
    assert capsys.readouterr().out.splitlines()[-2:] == ["epoch 0", "epoch 1"]


def test_validation_and_test_are_quiet(tmp_path: Path, terminal: Terminal) -> None:
    trainer = trainer_with(tmp_path, EpochProgressBar())
    trainer.validate(Module(), loader(), verbose=False)
    assert terminal.getvalue() == ""


def test_description_names_the_range_of_grid_sizes() -> None:
    wide = Grid(1, 1)
    wide.grid_size = 10
    assert grid_description(nn.Sequential(Grid(1, 1), wide)) == "G 3 to 10"
    assert grid_description(wide) == "G 10"
    assert grid_description(nn.Linear(1, 1)) == "Training"


@pytest.mark.usefixtures("terminal")
def test_bar_can_be_pickled_while_it_runs(tmp_path: Path) -> None:
    class Pickling(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            bar = trainer.progress_bar_callback
            assert isinstance(bar, EpochProgressBar)
            self.copied = pickle.loads(pickle.dumps(bar.__getstate__() | {"_trainer": None}))

    pickling = Pickling()
    trainer_with(tmp_path, EpochProgressBar(), pickling, max_epochs=1).fit(Module(), loader())
    assert pickling.copied["_bar"] is None
