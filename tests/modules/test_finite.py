"""What is not finite is never a result: training stops, tests and predictions are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kanlit.errors import DivergenceError
from kanlit.modules import RegressionModule
from kanlit.modules.finite import check_weights

CommandLine = Callable[[str], tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.uniform(-1, 1, 60), "b": rng.uniform(0, 2, 60)})
    table.assign(y=np.sin(3 * table.a) * table.b).to_csv(tmp_path / "t.csv", index=False)
    table.head(5).to_csv(tmp_path / "new.csv", index=False)


FIT = (
    "fit --data TableData --data.path t.csv --data.inputs '[a, b]' --data.targets '[y]' "
    "--model.hidden '[3]' --adaptation.schedule '[3]' --trainer.enable_progress_bar false"
)


@pytest.mark.filterwarnings("ignore")
def test_training_stops_at_the_first_loss_that_is_not_finite(command_line: CommandLine) -> None:
    sgd = f"{FIT} --model.optimizer SGD --checkpoint.every_n_epochs 1"
    sgd += " --trainer.check_val_every_n_epoch 1"
    assert command_line(f"{sgd} --trainer.max_epochs 3")[0] == 0
    good = {p: p.read_bytes() for p in Path().rglob("*.ckpt")}
    status, out, err = command_line(f"{sgd} --trainer.max_epochs 9 --model.optimizer.lr 1e30")
    assert status == 1
    assert "loss is" in err
    assert "lower the learning rate (it is 1e+30)" in err
    assert "relative L2" not in out
    assert all(path.read_bytes() == content for path, content in good.items())
    assert command_line("predict --ckpt_path last --input new.csv")[0] == 0


def test_weights_that_are_not_finite_are_neither_kept_nor_tested() -> None:
    module = RegressionModule(1, 1, hidden=[2])
    check_weights(module, "unused")
    module.network.layers[0].bias.data[0] = torch.nan
    with pytest.raises(DivergenceError, match=r"layers\.0\.bias .* no checkpoint is written"):
        module.on_save_checkpoint({})
    with pytest.raises(DivergenceError, match="nothing to test"):
        module.on_test_start()


@pytest.mark.filterwarnings("ignore")
def test_a_row_with_an_infinite_prediction_is_named(command_line: CommandLine) -> None:
    assert command_line(f"{FIT} --trainer.max_epochs 2")[0] == 0
    Path("far.csv").write_text("a,b\n0.1,0.2\n1e300,0.3\n")
    status, _, err = command_line("predict --ckpt_path last --input far.csv --output far_y.csv")
    assert status == 1
    assert "1 of 2 rows have NaN or infinite predictions, first in row 2" in err
    assert not Path("far_y.csv").exists()


CALLBACK = "--trainer.callbacks"
ACCUMULATE = f"{CALLBACK} GradientAccumulationScheduler {CALLBACK}.scheduling '{{1: 2}}'"
ONE_CYCLE = "--model.lr_scheduler OneCycleLR --model.lr_scheduler"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model.optimizer SparseAdam", "SparseAdam: SparseAdam does not support dense gradients"),
        ("--trainer.logger WandbLogger", "WandbLogger: Requirement 'wandb"),
        (f"{CALLBACK} EarlyStopping {CALLBACK}.monitor val_loss", "choose from val/loss, val/rel"),
        (
            f"{CALLBACK} EarlyStopping {CALLBACK}.monitor val/loss --trainer.limit_val_batches 0",
            "set trainer.limit_val_batches above 0",
        ),
        (f"{CALLBACK} EarlyStoping", "did you mean EarlyStopping?"),
        (f"{CALLBACK} EarlyStopping", "EarlyStopping needs monitor: give"),
        ("--trainer.logger NeptuneLogger", "unknown logger NeptuneLogger: "),
        (f"{CALLBACK} LearningRateFinder", "set model.optimizer.lr"),
        (f"{CALLBACK} BatchSizeFinder", "set data.batch_size"),
        ("--model.optimizer LBFGS --trainer.gradient_clip_val 0.1", "remove trainer.gradient_clip"),
        ("--model.optimizer LBFGS --trainer.accumulate_grad_batches 2", "raise data.batch_size"),
        (f"--model.optimizer LBFGS {ACCUMULATE}", "remove GradientAccumulationScheduler"),
        (
            f"{ONE_CYCLE}.max_lr 0.1 --model.lr_scheduler.total_steps 5",
            "total_steps to 9",
        ),
    ],
)
def test_classes_that_cannot_work_here_are_refused_in_one_line(
    words: str, said: str, command_line: CommandLine
) -> None:
    status, _, err = command_line(f"{FIT} --trainer.max_epochs 9 {words}")
    assert status == 2
    assert said in err


@pytest.mark.filterwarnings("ignore")
def test_a_timer_and_a_search_for_the_batch_size_work(command_line: CommandLine) -> None:
    status, _, err = command_line(f"{FIT} --trainer.max_epochs 2 {CALLBACK} Timer")
    assert status == 0, err
    assert "interval: step" in Path("lightning_logs/version_0/config.yaml").read_text()

    finder = f"{CALLBACK} BatchSizeFinder {CALLBACK}.max_trials 1 --data.batch_size 8"
    status, out, err = command_line(f"{FIT} --trainer.max_epochs 2 {finder}")
    assert status == 0, err
    assert "relative L2: " in out
    assert not list(Path().glob(".scale_batch_size*"))
