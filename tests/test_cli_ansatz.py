"""Equations with inputs and an ansatz of their own, from training to predictions and a formula."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from kanlit.checkpoints import find_checkpoint, read_checkpoint, restore_module
from kanlit.checkpoints.vet import vet
from kanlit.errors import ConfigurationError
from kanlit.problems import Helmholtz

pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

CommandLine = Callable[[str], tuple[int, str, str]]

EQUATION = """
import math
import torch
from kanlit import Equation

class Turn(Equation):
    coordinates = ("x", "t")
    bounds = ((0.0, 2.0), (0.0, 0.5))
    periodic = {"x": 2.0}

    def residual(self, u_t, x, t):
        return u_t - torch.cos(math.pi * x) - 2 * t

    def ansatz(self, u, x, t):
        return torch.sin(math.pi * x) + t * u

    def solution(self, points):
        x, t = points.split(1, 1)
        return torch.sin(math.pi * x) + t * torch.cos(math.pi * x) + t**2
"""
SHORT = (
    "--model.hidden '[]' --model.optimizer LevenbergMarquardt --trainer.precision 64-true "
    "--adaptation.schedule '{0: 4}' --trainer.enable_progress_bar false"
)
TURN = (
    "--data EquationData --data.equation my_turn.Turn --data.points_per_axis 20 "
    f"--model.spline_order 5 {SHORT}"
)
HELMHOLTZ = f"--data HelmholtzData --data.points_per_axis 8 {SHORT}"


def weights(path: Path) -> dict[str, Any]:
    return read_checkpoint(path)["state_dict"]


def test_an_equation_of_your_own_from_training_to_its_formula(
    command_line: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "my_turn.py").write_text(EQUATION)
    run = tmp_path / "lightning_logs" / "version_0"
    status, printed, error = command_line(f"fit {TURN} --trainer.max_epochs 14")
    assert status == 0, error
    assert float(printed.split("relative L2: ")[1].split()[0]) < 1e-4
    status, printed, error = command_line(f"test {TURN} --ckpt_path last")
    assert "test/rel_l2" in printed, error

    (tmp_path / "new.csv").write_text("x,t\n0.0,0.3\n2.0,0.3\n1.25,0.0\n")
    for command in ("predict --ckpt_path last --input new.csv", "export last --output m.onnx"):
        status, _, error = command_line(command)
        assert (status, len(error.strip().splitlines())) == (2, 1)
        assert "my_turn.Turn" in error
        assert "--config" in error
        status, _, error = command_line(f"{command} --config {run}/config.yaml")
        assert status == 0, error
    (tmp_path / "other.yaml").write_text("data: {class_path: HelmholtzData}\n")
    error = command_line("predict --ckpt_path last --input new.csv --config other.yaml")[2]
    assert "other.yaml is not of the equation my_turn.Turn" in error
    table = pd.read_csv("predictions.csv")
    assert list(table.columns) == ["x", "t", "u_predicted", "outside"]
    assert table.u_predicted[0] == table.u_predicted[1]
    assert table.u_predicted[2] == pytest.approx(torch.tensor(1.25 * torch.pi).sin().item())

    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    (exported,) = session.run(None, {"inputs": table[["x", "t"]].to_numpy()})
    assert abs(exported[:, 0] - table.u_predicted).max() < 1e-12

    status, printed, error = command_line(f"formula last --config {run}/config.yaml")
    assert "u = t*(t + cos(pi*x)) + sin(pi*x)" in printed, error
    status, printed, error = command_line(f"plot last --config {run}/config.yaml")
    assert "left out" not in printed, error

    assert command_line(f"fit {TURN} --trainer.max_epochs 5")[0] == 0
    status, _, error = command_line(f"fit {TURN} --trainer.max_epochs 14 --ckpt_path last")
    assert status == 0, error
    resumed = find_checkpoint("last", Path())
    for name, value in weights(run / "checkpoints" / "last.ckpt").items():
        assert torch.equal(value, weights(resumed)[name])


def test_an_equation_of_kanlit_s_own_is_rebuilt_from_its_record(
    command_line: CommandLine, tmp_path: Path
) -> None:
    words = f"{HELMHOLTZ} --data.a2 2 --data.conditions exact"
    status, _, error = command_line(f"fit {words} --trainer.max_epochs 2")
    assert status == 0, error
    (tmp_path / "new.csv").write_text("x1,x2\n0.3,1.0\n-1.0,0.2\n0.3,0.2\n")
    status, _, error = command_line("predict --ckpt_path last --input new.csv")
    assert status == 0, error
    predicted = pd.read_csv("predictions.csv").u_predicted
    assert list(predicted[:2]) == [0, 0]
    assert predicted[2] != 0

    status, _, error = command_line(f"test {HELMHOLTZ} --ckpt_path last")
    assert status == 2
    assert error.strip().splitlines()[-1].startswith("kanlit: error: the checkpoint was trained")
    assert "exact or soft" in error

    (path,) = tmp_path.rglob("last.ckpt")
    content = read_checkpoint(path)
    module: Any = restore_module(content, path)
    assert module.problem == Helmholtz(1, 2, 1.0, "exact")
    for record in (
        {"class_path": "os.system", "init_args": {}},
        {"class_path": "kanlit.problems.equations.helmholtz.Helmholtz", "init_args": {"a3": 1}},
        {"class_path": "kanlit.problems.equations.helmholtz.Helmholtz", "init_args": {"a1": 0}},
    ):
        content["kanlit"]["equation"] = record
        with pytest.raises(ConfigurationError):
            restore_module(content, path)
    for malformed in ({"class_path": 3}, {"class_path": "x", "init_args": {"a": [1]}}, "x", {}):
        content["kanlit"]["equation"] = malformed
        with pytest.raises(ConfigurationError, match="malformed"):
            vet(content, path)
