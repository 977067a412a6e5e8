"""The default settings for tables: size and smoothness from the data, the user's settings first."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kanlit.selection import size

Command = Callable[[str], tuple[int, str, str]]

TABLE = "--data TableData --data.path t.csv --data.inputs all --data.targets y"
QUIET = "--trainer.enable_progress_bar false"
# Warnings of Lightning about short runs are not the subject.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")


@pytest.fixture
def run(command_line: Command, tmp_path: Path) -> Callable[[str], str]:
    generator = np.random.default_rng(1)
    a, b = generator.uniform(-2, 2, (2, 100))
    y = np.sin(2 * a) + 0.5 * b + 0.2 * generator.normal(size=100)
    np.savetxt(
        tmp_path / "t.csv", np.stack([a, b, y], 1), delimiter=",", header="a,b,y", comments=""
    )

    def run(words: str) -> str:
        status, output, error = command_line(words)
        assert status == 0, error
        return output + error

    return run


def settings(run: Callable[[str], str], words: str) -> dict:
    return yaml.safe_load(run(f"fit {TABLE} {words} --print_config").replace("Seed set to 42", ""))


def state(tmp_path: Path, version: int, name: str = "last") -> dict:
    folder = tmp_path / "lightning_logs" / f"version_{version}" / "checkpoints"
    return torch.load(folder / f"{name}.ckpt", weights_only=True)


def test_a_noisy_table_is_fitted_better_than_by_a_line(
    run: Callable[[str], str], tmp_path: Path
) -> None:
    output = run(f"fit {TABLE} {QUIET}")
    assert "refitted on all 85 rows" in output
    found = re.search(r"^relative L2: (\S+)$", output, re.MULTILINE)
    assert found is not None
    assert float(found[1]) < 0.4  # the noise is 0.2 of 0.9; a line has 0.75
    assert state(tmp_path, 0)["hyper_parameters"]["hidden"] == []


@pytest.mark.parametrize(
    ("words", "hidden", "optimizer"),
    [
        ("", "auto", "LevenbergMarquardt"),
        ("--model.hidden '[4]'", [4], "LevenbergMarquardt"),
        ("--model.spline_order 4", "auto", "LevenbergMarquardt"),
        ("--model.optimizer torch.optim.SGD --model.optimizer.lr 0.1", [10], "SGD"),
        ("--adaptation.schedule '[3, 5]'", [10], None),
        ("--data.batch_size 10", [10], None),
        ("--model.robust 1.0", [10], None),
    ],
)
def test_a_setting_of_the_user_wins(
    run: Callable[[str], str], words: str, hidden: object, optimizer: str | None
) -> None:
    found = settings(run, words)
    model = found["model"]["init_args"]
    assert model["hidden"] == hidden
    degree = 4 if "order" in words else "auto" if optimizer == "LevenbergMarquardt" else 3
    assert model.get("spline_order", 3) == degree
    smooth = optimizer == "LevenbergMarquardt"
    if optimizer is not None:
        assert model["optimizer"]["class_path"].endswith(optimizer)
    assert (found["trainer"]["precision"] == "64-true") is smooth
    assert (found["adaptation"]["schedule"] == []) is smooth


def test_given_sizes_are_trained(run: Callable[[str], str], tmp_path: Path) -> None:
    run(f"fit {TABLE} {QUIET} --model.hidden '[4]' --model.grid_size 5 --trainer.max_epochs 2")
    weights = state(tmp_path, 0)["state_dict"]
    assert weights["network.layers.0.coefficients"].shape == (4, 2, 8)
    assert state(tmp_path, 0)["hyper_parameters"]["spline_order"] == 3
    events = EventAccumulator(str(tmp_path / "lightning_logs" / "version_0")).Reload()
    assert len(events.Scalars("train/loss")) == 2  # of each step: there are few


def test_every_command_knows_the_degree_that_was_chosen(
    run: Callable[[str], str], tmp_path: Path
) -> None:
    a, b = np.random.default_rng(1).uniform(-2, 2, (2, 100))
    rows = np.stack([a, b, np.sin(2 * a) + 0.5 * b], 1)
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="a,b,y", comments="")
    fit = f"fit {TABLE} {QUIET} --model.grid_size 8 --trainer.max_epochs"
    assert "grid size: G = 8, degree 5" in run(f"{fit} 2")
    assert state(tmp_path, 0)["hyper_parameters"]["spline_order"] == 5
    logged = yaml.safe_load((tmp_path / "lightning_logs/version_0/hparams.yaml").read_text())
    assert logged["spline_order"] == 5  # not auto
    run(f"{fit} 3 --ckpt_path last")
    assert state(tmp_path, 1)["hyper_parameters"]["spline_order"] == 5
    run("test --ckpt_path last")
    run("predict --ckpt_path last --input t.csv --output out.csv")
    errors = pd.read_csv(tmp_path / "out.csv").y_predicted - rows[:, 2]
    assert errors.abs().max() < 0.01


def test_a_resumed_run_ends_like_one_that_was_not_stopped(
    run: Callable[[str], str], tmp_path: Path
) -> None:
    words = f"fit {TABLE} {QUIET} --trainer.callbacks '[]' --trainer.max_epochs"
    run(f"{words} 5")
    run(f"{words} 2")
    run(f"{words} 5 --ckpt_path last")
    one, two = (state(tmp_path, version)["state_dict"] for version in (0, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_predictions_come_from_the_checkpoint_alone(
    run: Callable[[str], str], tmp_path: Path
) -> None:
    run(f"fit {TABLE} {QUIET} --trainer.max_epochs 2")
    run("predict --ckpt_path last --input t.csv --output out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    inside = (table.y_lower < table.y_predicted) & (table.y_predicted < table.y_upper)
    assert inside.all()
    assert table.y_std.between(0.1, 0.5).all()


def test_data_too_large_for_least_squares_are_trained_by_adam(
    run: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size, "_MOST_WORK", 1e4)
    output = run(
        f"fit {TABLE} {QUIET} --model.hidden '[]' --model.grid_size 3 --trainer.max_epochs 60"
    )
    assert re.search(r"70 rows and \d+ parameters are too many for least squares: Adam", output)
    assert "kept weights: best on validation" in output
    assert "refitted" not in output
    assert state(tmp_path, 0)["kanlit"]["optimizer"]["class_path"] == "torch.optim.adam.Adam"
