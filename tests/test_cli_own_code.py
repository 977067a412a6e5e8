"""An error in the user's own code, or in a class that the settings name, is one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

# Runs of two epochs are warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

CommandLine = Callable[[str], tuple[int, str, str]]

SHORT = (
    "fit --model.hidden '[2]' --adaptation.schedule '[3]' --trainer.max_epochs 2 "
    "--trainer.check_val_every_n_epoch 1 --trainer.enable_progress_bar false"
)
SYNTHETIC = f"{SHORT} --data SyntheticData --data.samples 20"
EQUATION = f"{SHORT} --data EquationData --data.points_per_axis 5 --data.equation"

# A class of one's own; the line with an error ends with a mark.
HEAD = """\
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.profilers import SimpleProfiler
from kanlit import Equation, RegressionModule, dirichlet
from kanlit.adaptation import InputDensity
from kanlit.bases import BSplineBasis
from kanlit.data import SyntheticData
"""
RESIDUAL = """
class Own(Equation):
    coordinates = ("x", "t")
    bounds = ((0.0, 1.0), (0.0, 0.5))
    def residual(self, u_t, u_xx):
        return u_t - torch.sin(u_xx, 3)  # here
    def conditions(self):
        return [dirichlet("walls", {"x": "both"})]
"""
CONDITION = """
class Own(Equation):
    coordinates = ("x", "t")
    bounds = ((0.0, 1.0), (0.0, 0.5))
    def residual(self, u_t, u_xx):
        return u_t - u_xx
    def conditions(self):
        return [dirichlet("walls", {"x": "both"}, lambda points: points.sine())]  # here
"""
DATA = """
class Own(SyntheticData):
    def build(self, part):
        return self.tables[part]  # here
"""
MODEL = """
class Own(RegressionModule):
    def __init__(self, in_features: int, out_features: int, **kwargs):
        super().__init__(in_features, out_features, **kwargs)
        self.depth = len(3)  # here
"""
BASIS = """
class Own(BSplineBasis):
    @classmethod
    def from_knots(cls, knots, spline_order, outside):
        raise ValueError("too wide")  # here
"""
DENSITY = """
class Own(InputDensity):
    def __call__(self, context):
        return context.samples  # here
"""
LOSS = """
class Own(RegressionModule):
    def loss(self, batch):
        return super().loss(batch) if self.current_epoch == 0 else batch.mean()  # here
"""
OWN_CODE = {
    "a residual": (RESIDUAL, f"{EQUATION} own.Own", "TypeError"),
    "a condition": (CONDITION, f"{EQUATION} own.Own", "AttributeError"),
    "data": (DATA, SYNTHETIC.replace("SyntheticData", "own.Own"), "AttributeError"),
    "a model": (MODEL, f"{SYNTHETIC} --model own.Own", "TypeError"),
    "a basis": (BASIS, f"{SYNTHETIC} --model.basis own.Own", "ValueError: too wide"),
    "a density": (DENSITY, f"{SYNTHETIC} --adaptation.density own.Own", "AttributeError"),
    "a loss in the second epoch": (LOSS, f"{SYNTHETIC} --model own.Own", "AttributeError"),
}

# Each refuses its setting.
REFUSES = """
class Own({base}):
    def __init__(self, size: int = 3, **kwargs) -> None:
        super().__init__(**kwargs)
        if size < 4:
            raise {error}("too small")  # here
"""
CLASSES = {
    "callback": ("Callback", "ValueError", "--trainer.callbacks"),
    "logger": ("CSVLogger", "TypeError", "--trainer.logger"),
    "profiler": ("SimpleProfiler", "RuntimeError", "--trainer.profiler"),
    "plugin": ("CheckpointIO", "KeyError", "--trainer.plugins"),
    "density": ("InputDensity", "ValueError", "--adaptation.density"),
}
SHIPPED = {
    "--trainer.callbacks Timer --trainer.callbacks.duration x": "Timer(duration='x')",
    "--trainer.callbacks ModelCheckpoint --trainer.callbacks.save_top_k -3": "save_top_k=-3",
    "--trainer.profiler PyTorchProfiler --trainer.profiler.sort_by_key x": "sort_by_key='x'",
    "--trainer.profiler AdvancedProfiler --trainer.profiler.line_count_restriction x": "a number",
    "--trainer.plugins MixedPrecision --trainer.plugins.precision 8 --trainer.plugins.device cpu": (
        "16-mixed or bf16-mixed"
    ),
    "--trainer.plugins AsyncCheckpoint": "did you mean AsyncCheckpointIO?",
    "--trainer.logger TensorBoardLogger --trainer.logger.save_dir . "
    "--trainer.logger.dict_kwargs '{max_queue: x}'": "TensorBoardLogger: ",
}


def error_of(printed: str) -> str:
    """The only line with an error; no traceback."""
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("kanlit: error: ")]
    return line.removeprefix("kanlit: error: ")


def write_own(folder: Path, text: str) -> int:
    """Writes ``own.py``; the number of its marked line."""
    (folder / "own.py").write_text(HEAD + text)
    return 1 + next(i for i, line in enumerate((HEAD + text).splitlines()) if "# here" in line)


@pytest.fixture(autouse=True)
def _own_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has another module ``own``."""
    monkeypatch.delitem(sys.modules, "own", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.mark.parametrize(("text", "words", "said"), OWN_CODE.values(), ids=OWN_CODE)
def test_an_error_in_ones_own_code_is_its_line(
    text: str, words: str, said: str, command_line: CommandLine, tmp_path: Path
) -> None:
    number = write_own(tmp_path, text)
    status, _, printed = command_line(words)

    assert status == 1
    assert error_of(printed).startswith(f"own.py, line {number}: {said}")
    assert "PYTHONDEVMODE=1" in printed


@pytest.mark.parametrize(("base", "error", "option"), CLASSES.values(), ids=CLASSES)
def test_a_class_that_cannot_be_created_is_named_with_its_settings(
    base: str, error: str, option: str, command_line: CommandLine, tmp_path: Path
) -> None:
    text = REFUSES.format(base=base, error=error)
    if base == "CheckpointIO":
        for name in ("save_checkpoint", "load_checkpoint", "remove_checkpoint"):
            text += f"    def {name}(self, *args, **kwargs): pass\n"
    number = write_own(tmp_path, text)
    more = f"{option}.save_dir ." if base == "CSVLogger" else ""
    status, _, printed = command_line(f"{SYNTHETIC} {option} own.Own {option}.size 2 {more}")

    assert status == 2
    line = error_of(printed)
    assert line.startswith("cannot create Own(")
    for words in ("size=2", f"own.py, line {number}: {error}: ", "too small", "change these"):
        assert words in line


@pytest.mark.parametrize(("words", "said"), SHIPPED.items())
def test_a_class_of_lightning_that_refuses_its_settings_is_one_line(
    words: str, said: str, command_line: CommandLine
) -> None:
    status, _, printed = command_line(f"{SYNTHETIC} {words}")

    assert status == 2
    assert said in error_of(printed)


def test_an_error_at_the_import_of_ones_own_file_is_its_line(
    command_line: CommandLine, tmp_path: Path
) -> None:
    number = write_own(tmp_path, "\nSCALE = 1 / 0  # here\n")
    status, _, printed = command_line(f"{SYNTHETIC} --adaptation.density own.Own")

    assert status == 2
    assert f"own.py, line {number}: ZeroDivisionError: division by zero" in error_of(printed)


def test_development_mode_shows_the_traceback(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(tmp_path, RESIDUAL)
    flags = {name: getattr(sys.flags, name) for name in dir(sys.flags) if name[0] != "_"}
    monkeypatch.setattr(sys, "flags", SimpleNamespace(**flags | {"dev_mode": True}))

    with pytest.raises(TypeError):
        command_line(f"{EQUATION} own.Own")


def test_a_fault_of_kanlit_keeps_its_traceback(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kanlit.cli.app.chosen_threads", None)

    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        command_line(SYNTHETIC)
