"""The summary of a run says what was kept, why training ended, and whether it overfits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Command = Callable[[str], tuple[int, str, str]]

TABLE = "fit --data TableData --data.path t.csv --data.inputs x --data.targets y"
QUIET = "--trainer.enable_progress_bar false --trainer.check_val_every_n_epoch 5"
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")


@pytest.fixture
def run(command_line: Command, tmp_path: Path) -> Callable[[str], str]:
    generator = np.random.default_rng(1)
    x = generator.uniform(-1, 1, 24)
    table = np.stack([x, generator.normal(size=24)], 1)
    np.savetxt(tmp_path / "t.csv", table, delimiter=",", header="x,y", comments="")

    def run(words: str) -> str:
        status, output, error = command_line(words)
        assert status == 0, error
        return output + error

    return run


def test_noise_that_is_learned_is_called_overfitting(run: Callable[[str], str]) -> None:
    exact = "--model.optimizer LevenbergMarquardt --model.grid_size 30 --trainer.precision 64-true"
    output = run(f"{TABLE} {QUIET} {exact} --adaptation.schedule '[]' --trainer.max_epochs 30")
    assert "stopped: max_epochs, 30" in output
    assert "kept weights: those of the last epoch" in output
    assert "overfitting: the training loss" in output


def test_the_epoch_that_is_kept_and_the_cause_of_the_end_are_named(
    run: Callable[[str], str],
) -> None:
    early = "{class_path: EarlyStopping, init_args: {monitor: val/loss, patience: 2}}"
    callbacks = f"--trainer.callbacks '[{early}, {{class_path: KeepBest}}]'"
    output = run(f"{TABLE} {QUIET} --model.optimizer torch.optim.Adam {callbacks}")
    assert "stopped: val/loss did not improve in 2 validations, at epoch" in output
    assert "kept weights: best on validation, of epoch" in output
    assert "overfitting" not in output
