"""Observations and a reference on the command line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CommandLine = Callable[[str], "tuple[int, str, str]"]

SLOPE = """
from kanlit import Equation

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
