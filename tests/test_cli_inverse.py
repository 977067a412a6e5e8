"""Observations, unknown coefficients and a reference on the command line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kanlit.checkpoints import find_checkpoint, read_checkpoint

CommandLine = Callable[[str], "tuple[int, str, str]"]

SLOPE = """
from kanlit import Equation, Unknown

class Line(Equation):
    coordinates = ("x",)
    bounds = ((0.0, 1.0),)
    slope = Unknown(1.0, low=0.0)

    def residual(self, u_x, slope):
        return u_x - slope

class Slope(Equation):
    coordinates = ("x",)
    bounds = ((0.0, 1.0),)

    def residual(self, u_x):
        return u_x - 2
"""
CONFIG = """
data:
  class_path: EquationData
  init_args: {equation: slopes.Slope, points_per_axis: 9, observations: seen.csv}
model:
  class_path: PDEModule
  init_args:
    hidden: []
    optimizer: {class_path: LevenbergMarquardt}
adaptation: {schedule: {0: 3}}
trainer: {max_epochs: 5, precision: 64-true, check_val_every_n_epoch: 5}
"""

pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "slopes", raising=False)
    Path("slopes.py").write_text(SLOPE)
    Path("slope.yaml").write_text(CONFIG)
    Path("seen.csv").write_text("x,u\n0.5,2.0\n")
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_an_older_checkpoint_is_tested_at_a_reference(command_line: CommandLine) -> None:
    status, _, err = command_line("fit --config slope.yaml")
    assert status == 0, err
    Path("reference.csv").write_text("x,u\n0.0,2.0\n1.0,6.0\n")  # twice 1 + 2 x

    status, out, err = command_line(
        "test --config slope.yaml --ckpt_path last --data.reference reference.csv"
    )

    assert status == 0, err
    (error,) = re.findall(r"test/rel_l2\W+([\d.e-]+)", out)
    assert float(error) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.usefixtures("folder")
def test_a_reference_outside_the_domain_ends_fit_before_training(command_line: CommandLine) -> None:
    Path("reference.csv").write_text("x,u\n0.0,2.0\n1.5,6.0\n")

    status, _, err = command_line("fit --config slope.yaml --data.reference reference.csv")

    assert status == 2
    assert err.splitlines()[-1].startswith(
        "kanlit: error: 1 of 2 rows of reference.csv are outside the domain of Slope (x from 0 to "
        "1), the first in line 3 (x = 1.5): "
    )
    assert not list(Path("lightning_logs").rglob("*.ckpt"))


NOISY = "x,u\n" + "\n".join(f"{k / 20},{1 + k / 10 + (-1) ** k / 50}" for k in range(21)) + "\n"
FIT = "fit --config slope.yaml --data.equation slopes.Line"


@pytest.mark.usefixtures("folder")
def test_a_coefficient_is_in_the_summary_and_beside_predictions(command_line: CommandLine) -> None:
    Path("seen.csv").write_text(NOISY)
    status, out, err = command_line(FIT)
    assert status == 0, err
    (value, error) = re.findall(r"^slope: ([\d.]+) ± ([\d.]+) \(standard error; 95 %", out, re.M)[0]
    assert abs(float(value) - 2) < 3 * float(error) < 0.2

    Path("new.csv").write_text("x\n0.5\n")
    status, out, err = command_line("predict --ckpt_path last --input new.csv --output new_u.csv")

    assert status == 0, err
    assert f"slope: {value} ± {error} " in out
    found = json.loads(Path("new_u.json").read_text())
    assert found["note"] is None
    assert 0.015 < found["misfit"] < 0.025  # of ±0.02
    slope = found["coefficients"]["slope"]
    assert slope["value"] == pytest.approx(float(value), rel=1e-4)
    assert slope["standard_error"] == pytest.approx(float(error), rel=0.1)
    low, high = slope["interval"]
    assert low < slope["value"] < high


@pytest.mark.parametrize("optimizer", ["LevenbergMarquardt", "torch.optim.Adam"])
@pytest.mark.usefixtures("folder")
def test_a_resumed_run_ends_with_the_same_coefficient(
    optimizer: str, command_line: CommandLine
) -> None:
    Path("seen.csv").write_text(NOISY)
    ends = []
    for commands in ([""], ["--trainer.max_epochs 3", "--ckpt_path last"]):
        for more in commands:
            status, _, err = command_line(f"{FIT} --model.optimizer {optimizer} {more}")
            assert status == 0, err
        ends.append(read_checkpoint(find_checkpoint("last", Path())))
    whole, resumed = ends
    assert whole["epoch"] == resumed["epoch"]
    assert float(whole["state_dict"]["coefficients.theta.weight"]) != 0
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, resumed["state_dict"][name]), name
    assert whole["kanlit"]["coefficients"] == resumed["kanlit"]["coefficients"]


@pytest.mark.usefixtures("folder")
def test_a_checkpoint_with_malformed_errors_is_refused(command_line: CommandLine) -> None:
    Path("seen.csv").write_text(NOISY)
    assert command_line(FIT)[0] == 0
    path = find_checkpoint("last", Path())
    content = torch.load(path, weights_only=True)
    content["kanlit"]["coefficients"]["spread"]["rows"] = "many"
    torch.save(content, path)
    Path("new.csv").write_text("x\n0.5\n")

    status, _, err = command_line(f"predict --ckpt_path {path} --input new.csv")

    assert status == 2
    assert "is malformed (kanlit.coefficients.spread is " in err
