"""The default settings for tables with classes: they stop early and calibrate."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

Command = Callable[[str], tuple[int, str, str]]

TABLE = "fit --data ClassTableData --data.path t.csv --data.inputs all --data.label label"
QUIET = "--trainer.enable_progress_bar false"
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")


@pytest.fixture
def run(command_line: Command, tmp_path: Path) -> Callable[[str], str]:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(120, 2))
    label = np.where(x[:, 0] + generator.normal(size=120) > 0, "yes", "no")
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "label": label}).to_csv(
        tmp_path / "t.csv", index=False
    )

    def run(words: str) -> str:
        status, output, error = command_line(words)
        assert status == 0, error
        return output + error

    return run


def test_a_run_stops_when_validation_does_and_predicts_what_it_calibrated(
    run: Callable[[str], str], tmp_path: Path
) -> None:
    output = run(f"{TABLE} {QUIET}")
    assert "stopped: val/loss did not improve in 20 validations" in output
    assert "kept weights: best on validation" in output
    printed = re.search(r"calibrated on 18 validation rows: temperature (\S+)", output)
    assert printed is not None
    path = tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    temperature = float(torch.load(path, weights_only=True)["state_dict"]["temperature"])
    assert temperature == pytest.approx(float(printed[1]), rel=1e-2)
    run("predict --ckpt_path last --input t.csv --output out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    labels = pd.read_csv(tmp_path / "t.csv").label == "yes"
    assert table.probability_yes.mean() == pytest.approx(labels.mean(), abs=0.1)
    assert ((table.label_predicted == "yes") == labels).mean() > 0.7
    assert (table.label_predicted == np.where(table.probability_yes > 0.5, "yes", "no")).all()


@pytest.mark.parametrize(
    ("words", "stops_early"),
    [
        ("", True),
        ("--model.hidden '[4]' --data.batch_size 10", True),
        ("--model.optimizer torch.optim.SGD --model.optimizer.lr 0.1", False),
        ("--trainer.callbacks '[]'", False),
    ],
)
def test_a_setting_of_the_user_wins(
    run: Callable[[str], str], words: str, stops_early: bool
) -> None:
    found = yaml.safe_load(run(f"{TABLE} {words} --print_config").replace("Seed set to 42", ""))
    names = [each["class_path"] for each in found["trainer"]["callbacks"] or []]
    assert any("EarlyStopping" in name for name in names) is stops_early
    if "hidden" in words:
        assert found["model"]["init_args"]["hidden"] == [4]
