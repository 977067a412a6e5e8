"""``kanlit export``: a checked file, or one line and no file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import kanlit

pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

Run = Callable[[str], "tuple[int, str, str]"]

FIT = "fit --model.hidden '[3]' --trainer.max_epochs 4 --trainer.enable_progress_bar false"
TABLE = "--data TableData --data.path t.csv --data.inputs '[heat °C, b]' --data.targets '[y]'"
LAST = "lightning_logs/version_0/checkpoints/last.ckpt"


@pytest.fixture
def folder(trained_once: Callable[..., Path]) -> Path:
    """A scratch folder with a run that was trained on a table."""
    rows = [f"{300 + i},{(i * 7) % 11},{i + (i * 7) % 11}" for i in range(60)]
    return trained_once("run-to-export", ["heat °C,b,y", *rows], f"{FIT} {TABLE}")


def test_onnx_gives_the_predictions_of_a_table_and_says_what_they_are(
    folder: Path,
    command_line: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime: Any = pytest.importorskip("onnxruntime")
    status, output, error = command_line("export last --output out/model.onnx")
    assert (status, error) == (0, "")
    assert output.startswith(
        "exported: out/model.onnx (heat °C, b -> y; float64; largest difference"
    )
    assert command_line("predict --ckpt_path last --input t.csv --output p.csv")[0] == 0

    session = onnxruntime.InferenceSession(folder / "out" / "model.onnx")
    table = pd.read_csv(folder / "p.csv")
    x = table[["heat °C", "b"]].to_numpy(dtype="float64")
    found = session.run(None, {"inputs": x})[0][:, 0]
    assert found.tolist() == pytest.approx(table["y_predicted"].tolist(), rel=1e-5)
    said = session.get_modelmeta().custom_metadata_map
    assert said["kanlit_version"] == kanlit.__version__
    assert json.loads(said["input_names"]) == ["heat °C", "b"]
    assert json.loads(said["target_names"]) == ["y"]
    (least, greatest), _ = json.loads(said["training_range"])
    assert 300 <= least < greatest <= 359
    assert list((folder / "out").iterdir()) == [folder / "out" / "model.onnx"]

    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    (example,) = (text for text in examples if "import onnxruntime" in text)
    monkeypatch.chdir(folder / "out")
    names: dict[str, Any] = {}
    exec(compile(example, "guide.md", "exec"), names)

    assert names["y"].shape == (1, 1)
    assert "heat °C" in capsys.readouterr().out


def test_pt2_of_an_equation_is_its_solution(command_line: Run, tmp_path: Path) -> None:
    assert command_line(f"{FIT} --data HelmholtzData --data.points_per_axis 6")[0] == 0
    status, output, error = command_line(f"export {LAST} --output u.PT2")

    assert (status, error) == (0, "")
    assert output.startswith("exported: u.PT2 (x1, x2 -> u; float32;")
    program = torch.export.load(str(tmp_path / "u.PT2")).module()
    assert program(torch.zeros(3, 2)).shape == (3, 1)


def test_a_checkpoint_without_names_is_exported_under_numbers(
    folder: Path, command_line: Run
) -> None:
    content = torch.load(folder / LAST, weights_only=True)
    torch.save({**content, "kanlit": {**content["kanlit"], "columns": None}}, folder / "old.ckpt")
    status, output, error = command_line("export old.ckpt --output m.pt2")

    assert (status, error) == (0, "")
    assert "(x1, x2 -> y; float64" in output


def test_what_is_wrong_is_one_line_and_leaves_no_file(
    folder: Path, command_line: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {
        "export": "are required: CHECKPOINT, --output",
        "export last": "are required: --output",
        "export last --output m.onx": "ends in .onx: name a file that ends in .onnx or .pt2",
        "export last --output m": "has no suffix",
        "export last --output lightning_logs": "is a folder",
        "export last --output t.csv/m.pt2": "cannot write",
        "export none.ckpt --output m.pt2": "none.ckpt does not exist",
        "export . --output m.pt2": "is a folder: give the .ckpt file in it",
        "export t.csv --output m.pt2": "t.csv is not a checkpoint",
        "export best --trainer.default_root_dir out --output m.pt2": "no best checkpoint under out",
        "export last --output m.pt2 --opset 3": "unrecognized arguments: --opset 3",
    }
    before = sorted(folder.rglob("*"))
    for command, said in bad.items():
        status, output, error = command_line(command)
        assert (status, output, error.count("\n")) == (2, "", 1), error
        assert error.startswith("kanlit: error: ")
        assert said in error

    monkeypatch.setattr("kanlit.cli.export.run", lambda content, suffix: lambda x: 0 * x[:, :1])
    status, output, error = command_line("export last --output m.pt2")
    assert (status, output, error.count("\n")) == (2, "", 1), error
    assert "differs from the checkpoint by 1.0e+00" in error
    assert sorted(folder.rglob("*")) == before


def test_help_shows_how(command_line: Run) -> None:
    status, output, _ = command_line("export --help")

    assert status == 0
    assert "kanlit export last --output model.onnx" in output
