"""What a user can mend is one line on stderr that names the thing and the cure, and status 2."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kanlit.errors import ConfigurationError
from kanlit.runs.exceptions import one_line, root_cause

# Runs of two epochs are warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

Run = Callable[[str], "tuple[int, str, str]"]

SYNTHETIC = "fit --data SyntheticData"
CURVATURE = "--adaptation.density CurvatureDensity"
CALLBACKS = f"{SYNTHETIC} --trainer.callbacks"
BLEND = "--adaptation.density BlendedDensity --adaptation.density.densities"
ANY = "--adaptation.trigger AnyTrigger --adaptation.trigger.triggers"
TABLE = "fit --data TableData --data.inputs '[a, b]' --data.targets '[y]'"
INFO = ("Seed set to", "last checkpoint:", "best checkpoint:")

CONFIGS = {
    "empty.yaml": "",
    "list.yaml": "- 1\n- 2\n",
    "twice.yaml": "data: SyntheticData\ntrainer: {max_epochs: 3}\ndata:\n  init_args: {seed: 3}\n",
    "broken.yaml": "a: [1\nb: {\n",
    "data_key.yaml": "data: {class_path: SyntheticData, init_args: {functio: f1}}",
    "density_key.yaml": "data: SyntheticData\nadaptation:\n  density:\n"
    "    {class_path: CurvatureDensity, init_args: {powr: 1}}",
    "model_key.yaml": "data: SyntheticData\nmodel: {hiden: [3]}",
    "optimizer_key.yaml": "data: SyntheticData\nmodel:\n  optimizer:\n"
    "    {class_path: Adam, init_args: {lrr: 1}}",
    "trainer_key.yaml": "data: SyntheticData\ntrainer: {max_epoch: 3}",
    "top_key.yaml": "data: SyntheticData\nadaptaton: {schedule: {0: 3}}",
    "beside_schedule.yaml": "data: SyntheticData\nadaptation: {schedule: {0: 3}, unifrm_mix: 0.1}",
}
TABLES = {
    "good.csv": [f"{i},{i * i % 7},{i + 1}" for i in range(40)],
    "nan.csv": [f"{i},{i % 7},{'nan' if i < 3 else i}" for i in range(40)],
    "infinite.csv": [f"{i},{i % 7},{'inf' if i < 2 else i}" for i in range(40)],
    "text.csv": [f"{i},red,{i}" for i in range(40)],
    "few.csv": ["1,2,3", "2,3,4"],
}

# A command line, and the words that its error must hold.
BAD: list[tuple[str, list[str]]] = [
    # -- commands and options
    ("", ["no command", "fit", "benchmark", "kanlit --help"]),
    ("fitt --config x", ["'fitt'", "did you mean fit?"]),
    (f"{SYNTHETIC} extra", ["unexpected", "extra"]),
    ("fit", ["no data: set data to", "SyntheticData", "TableData"]),
    ("fit --data.function f1", ["no data: set data to"]),
    # -- classes
    ("fit --data SynteticData", ["--data", "SynteticData", "did you mean SyntheticData?"]),
    ("fit --data InputDensity", ["InputDensity is a density, not a data class", "TableData"]),
    ("fit --data torch.optim.Adam", ["torch.optim.Adam is not a data class"]),
    (f"{SYNTHETIC} --model RegresionModule", ["did you mean RegressionModule?", "PDEModule"]),
    (f"{SYNTHETIC} --model SyntheticData", ["SyntheticData is a data class, not a model"]),
    (f"{SYNTHETIC} --adaptation.density CurvatreDensity", ["did you mean CurvatureDensity?"]),
    (f"{SYNTHETIC} --adaptation.density nomodule.Foo", ["cannot import nomodule"]),
    (f"{SYNTHETIC} --adaptation.trigger PlateuTrigger", ["did you mean PlateauTrigger?"]),
    (
        f"{SYNTHETIC} {BLEND} '[InputDensity, {{class_path: DeBorDensity}}]'",
        ["densities[1]: unknown density DeBorDensity", "did you mean DeBoorDensity?"],
    ),
    (
        f"{SYNTHETIC} {BLEND} '[{{class_path: BlendedDensity, init_args: {{densities: [Inpt]}}}}]'",
        ["densities[0].densities[0]: unknown density Inpt"],
    ),
    (f"{SYNTHETIC} {BLEND} '[3]'", ["densities[0]: expected a density", "got 3"]),
    (
        f"{SYNTHETIC} {ANY} '[{{class_path: PeriodicTrigger, init_args: {{evry: 3}}}}]'",
        ["unknown key", "triggers[0].evry", "did you mean every?"],
    ),
    (f"{SYNTHETIC} --model.optimizer Adm", ["--model.optimizer", "did you mean Adam?"]),
    (f"{SYNTHETIC} --model.optimizer torch.optim.Adm", ["torch.optim has no Adm", "Adam"]),
    (f"{SYNTHETIC} --model.lr_scheduler CosineLR", ["CosineLR", "CosineAnnealingLR"]),
    (f"{SYNTHETIC} --model.lr_scheduler CosineAnnealingLR", ["give model.lr_scheduler.T_max"]),
    (f"{SYNTHETIC} --model.lr_scheduler ReduceLROnPlateau", ["give model.lr_scheduler.monitor"]),
    # -- keys
    (f"{SYNTHETIC} --dat x", ["--dat", "did you mean data?"]),
    (f"{SYNTHETIC} --model.hiden '[3]'", ["--model.hiden", "did you mean hidden?"]),
    (f"{SYNTHETIC} --data.functio f1", ["--data.functio", "did you mean function?"]),
    (f"{SYNTHETIC} --adaptation.densty InputDensity", ["did you mean adaptation.density?"]),
    (f"{SYNTHETIC} {CURVATURE} --adaptation.density.powr 1", ["did you mean power?"]),
    (
        f"{SYNTHETIC} --adaptation.trigger PlateauTrigger --adaptation.trigger.patienc 3",
        ["patience?"],
    ),
    (f"{SYNTHETIC} --trainer.max_epoch 3", ["did you mean trainer.max_epochs?"]),
    (f"{SYNTHETIC} --epochs 3", ["--epochs", "did you mean trainer.max_epochs?"]),
    (f"{SYNTHETIC} --optimizer.lr 1", ["--optimizer.lr", "did you mean model.optimizer.lr?"]),
    (f"{SYNTHETIC} --function f2", ["did you mean data.function?"]),
    # -- callbacks, loggers, strategies
    (f"{CALLBACKS} EarlyStoping", ["unknown callback", "did you mean EarlyStopping?", "…"]),
    (f"{CALLBACKS} '[EarlyStoping]'", ["callbacks[0]", "did you mean EarlyStopping?"]),
    (f"{CALLBACKS} EarlyStopping", ["give trainer.callbacks.monitor such as val/loss"]),
    (
        f"{CALLBACKS} '[{{class_path: EarlyStopping}}]'",
        ["callbacks[0]: EarlyStopping needs monitor", "init_args: {monitor: val/loss}"],
    ),
    (
        f"{CALLBACKS} '[{{class_path: Timer, init_args: {{durations: 1}}}}]'",
        ["unknown key", "callbacks[0].durations", "did you mean duration?"],
    ),
    (f"{SYNTHETIC} --trainer.logger TensorboardLogger", ["did you mean TensorBoardLogger?"]),
    (f"{SYNTHETIC} --trainer.strategy dpp", ["unknown strategy dpp", "did you mean ddp?"]),
    (f"{SYNTHETIC} --checkpoint.monitr 3", ["did you mean checkpoint.monitor?"]),
    ("fit --config data_key.yaml", ["functio in data_key.yaml", "did you mean function?"]),
    ("fit --config density_key.yaml", ["powr in density_key.yaml", "did you mean power?"]),
    ("fit --config model_key.yaml", ["model.hiden in model_key.yaml", "did you mean hidden?"]),
    ("fit --config optimizer_key.yaml", ["lrr in optimizer_key.yaml", "did you mean lr?"]),
    ("fit --config trainer_key.yaml", ["trainer.max_epoch in trainer_key.yaml", "max_epochs?"]),
    ("fit --config top_key.yaml", ["adaptaton.schedule in top_key.yaml", "adaptation.schedule?"]),
    ("fit --config beside_schedule.yaml", ["unifrm_mix in", "adaptation.uniform_mix?"]),
    # -- types
    (f"{SYNTHETIC} --model.hidden x", ["--model.hidden", "a list", "'x'"]),
    (f"{SYNTHETIC} --trainer.max_epochs abc", ["--trainer.max_epochs", "whole number", "'abc'"]),
    (f"{SYNTHETIC} --data.samples 1.5", ["--data.samples", "whole number", "1.5"]),
    (f"{SYNTHETIC} --model.outside linaer", ["--model.outside", "linear or zero", "'linaer'"]),
    (f"{SYNTHETIC} --model.optimizer.lr x", ["--model.optimizer.lr", "a number", "'x'"]),
    (f"{SYNTHETIC} --adaptation.schedule foo", ["--adaptation.schedule", "{0: 3", "[3, 6]"]),
    (f"{SYNTHETIC} --adaptation.schedule '[3, x]'", ["--adaptation.schedule", "'x'"]),
    (f"{SYNTHETIC} {CURVATURE} --adaptation.density.scope net", ["network or layer", "'net'"]),
    # -- schedules
    (f"{SYNTHETIC} --adaptation.schedule '[0, 3]'", ["schedule", "G = 0", "1 or more"]),
    (f"{SYNTHETIC} --adaptation.schedule '[6, 3]'", ["schedule decreases", "6", "3"]),
    (f"{SYNTHETIC} --adaptation.schedule '{{0: 6, 9: 3}}'", ["schedule decreases"]),
    (f"{SYNTHETIC} --adaptation.schedule '{{}}'", ["schedule is empty"]),
    (
        f"{SYNTHETIC} --adaptation.schedule '{{0: 3, 100: 6}}' --trainer.max_epochs 100",
        ["epoch 100", "max_epochs is 100", "raise trainer.max_epochs"],
    ),
    (f"{SYNTHETIC} --trainer.max_epochs -1 --trainer.max_steps 3", ["list schedule", "max_epochs"]),
    # -- adaptation
    (f"{SYNTHETIC} --adaptation.uniform_mix 2", ["uniform_mix", "between 0 and 1", "2.0"]),
    (f"{SYNTHETIC} --adaptation.least_gap 0", ["least_gap", "above 0", "0.0"]),
    (f"{SYNTHETIC} --adaptation.margin -1", ["margin", "at least 0", "-1.0"]),
    (f"{SYNTHETIC} --adaptation.max_samples 0", ["max_samples", "at least 1"]),
    (f"{SYNTHETIC} {CURVATURE} --adaptation.density.power 0", ["power must be positive", "0.5"]),
    (f"{SYNTHETIC} {CURVATURE} --adaptation.density.epsilon -1", ["epsilon must be at least 0"]),
    # -- models
    (f"{SYNTHETIC} --model.spline_order 0", ["spline_order", "between 1 and 5", "0"]),
    (f"{SYNTHETIC} --model.spline_order 6", ["spline_order", "between 1 and 5", "6"]),
    (
        f"{SYNTHETIC} {CURVATURE} --model.spline_order 1",
        ["CurvatureDensity", "degree 2", "InputDensity"],
    ),
    ("fit --data HelmholtzData --model.spline_order 2", ["spline_order must be 3 to 5"]),
    (f"{SYNTHETIC} --model.hidden '[0]'", ["hidden", "at least 1", "[0]"]),
    (f"{SYNTHETIC} --model.hidden '[4, -2]'", ["hidden", "at least 1", "-2"]),
    (f"{SYNTHETIC} --model.grid_size 0", ["grid_size", "at least 1"]),
    ("fit --data HelmholtzData --model.boundary_weight 0", ["boundary_weight", "positive"]),
    (f"{SYNTHETIC} --model.optimizer.lr -1", ["Adam(lr=-1.0)", "learning rate"]),
    (f"{SYNTHETIC} --model PDEModule", ["PDEModule", "set model to RegressionModule"]),
    ("fit --data HelmholtzData --model RegressionModule", ["HelmholtzData", "to PDEModule"]),
    # -- data
    (f"{SYNTHETIC} --data.function f33", ["'f33'", "did you mean 'f3'?"]),
    ("fit --data FeynmanData --data.equation 16", ["equation 16", "1 to 15"]),
    ("fit --data HelmholtzData --data.wavenumber 3.5124073655203634", ["wavenumber", "unique"]),
    ("fit --data EquationData", ["EquationData needs equation", "give data.equation"]),
    ("fit --data EquationData --data.equation Poison", ["equation Poison", "mean Poisson?"]),
    (
        "fit --data EquationData --data.equation burger",
        ["unknown equation burger", "mean Burgers?"],
    ),
    (
        "fit --data EquationData --data.equation Burgers --data.equation.viscosity 0",
        ["viscosity", "0.001", "got 0"],
    ),
    (
        "fit --data EquationData --data.equation Poisson --data.sampling sobol",
        ["points", "points_per_axis", "sobol"],
    ),
    (f"{SYNTHETIC} --data.samples 0", ["samples", "at least 1"]),
    ("fit --data TableData", ["path, inputs, targets", "give data.path"]),
    (f"{TABLE} --data.path none.csv", ["file none.csv does not exist", "data.path"]),
    (f"{TABLE} --data.path nan.csv", ["'y'", "nan.csv", "3 "]),
    (f"{TABLE} --data.path infinite.csv", ["'y'", "infinite.csv", "2 "]),
    (f"{TABLE} --data.path text.csv", ["'b'", "not a number", "'red'"]),
    (f"{TABLE} --data.path few.csv", ["few.csv has 2 rows", "add rows"]),
    (f"{TABLE} --data.path good.csv --data.inputs '[a, c]'", ["'c'", "a, b, y"]),
    (f"{TABLE} --data.path good.csv --data.inputs '[]'", ["inputs is empty"]),
    # -- configs
    ("fit --config none.yaml", ["config none.yaml does not exist"]),
    ("fit --config empty.yaml", ["config empty.yaml is empty", "data, model"]),
    ("fit --config list.yaml", ["config list.yaml holds a list"]),
    (
        "fit --config twice.yaml",
        ["config twice.yaml has the key data twice, in line 1 and in line 3", "write it once"],
    ),
    (
        "fit --data SyntheticData --trainer '{max_epochs: 3, max_epochs: 4}'",
        ["--trainer has the key max_epochs twice"],
    ),
    ("fit --config broken.yaml", ["config broken.yaml is not YAML", "line"]),
    ("fit --config bytes.yaml", ["config bytes.yaml is not text"]),
    ("fit --config .", ["config . is a folder"]),
    # -- checkpoints
    (f"{SYNTHETIC} --ckpt_path none.ckpt", ["none.ckpt does not exist", "last"]),
    (f"{SYNTHETIC} --ckpt_path pickle.ckpt", ["pickle.ckpt", "not safe to load"]),
    (f"{SYNTHETIC} --ckpt_path torch.ckpt", ["torch.ckpt", "not safe to load"]),
    (f"{SYNTHETIC} --ckpt_path foreign.ckpt", ["foreign.ckpt", "no knots"]),
    (f"{SYNTHETIC} --ckpt_path good.csv", ["good.csv is not a checkpoint"]),
    (f"{SYNTHETIC} --ckpt_path .", ["is a folder"]),
    ("test --data SyntheticData", ["test needs a checkpoint", "--ckpt_path last"]),
    ("test --data SyntheticData --ckpt_path last", ["no last checkpoint", "kanlit fit"]),
    ("predict --data SyntheticData --ckpt_path best", ["no best checkpoint", "kanlit fit"]),
    # -- predictions and exports without data
    ("predict --ckpt_path last", ["--input TABLE", "--config or --data"]),
    ("predict --input good.csv", ["predict needs a checkpoint", "--ckpt_path last"]),
    ("predict --ckpt_path last --input none.csv", ["no file none.csv", "--input"]),
    (
        "predict --ckpt_path last --input good.csv --output p.xls",
        [".xls", ".csv, .tsv or .parquet"],
    ),
    ("predict --ckpt_path foreign.ckpt --input good.csv", ["foreign.ckpt", "no knots"]),
    ("export", ["CHECKPOINT, --output", "kanlit export --help"]),
    ("export last --output m.onnx", ["no last checkpoint", "kanlit fit"]),
    ("export last --output m.onxx", ["output m.onxx", ".onnx or .pt2"]),
    ("export last --output good.csv/m.pt2", ["cannot write good.csv/m.pt2"]),
    ("export torch.ckpt --output m.pt2", ["torch.ckpt", "not safe to load"]),
    # -- trainer
    (f"{SYNTHETIC} --trainer.accelerator gpuu", ["accelerator gpuu", "cpu"]),
    (f"{SYNTHETIC} --trainer.strategy foo", ["strategy foo"]),
    (f"{SYNTHETIC} --trainer.default_root_dir good.csv", ["cannot write", "good.csv"]),
    (f"{SYNTHETIC} --seed_everything -3", ["seed_everything", "-3"]),
]
if not torch.cuda.is_available():
    BAD.append((f"{SYNTHETIC} --trainer.accelerator gpu", ["accelerator gpu", "backend"]))


class Malice:
    """A pickle of it writes a file when loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("written-by-a-pickle",)


def write_files(folder: Path) -> None:
    """The good and bad files that the command lines name."""
    for name, text in CONFIGS.items():
        (folder / name).write_text(text)
    for name, rows in TABLES.items():
        (folder / name).write_text("\n".join(["a,b,y", *rows, ""]))
    (folder / "bytes.yaml").write_bytes(bytes(range(256)))
    (folder / "pickle.ckpt").write_bytes(pickle.dumps(Malice()))
    knots = {"network.layers.0.knots": torch.zeros(1, 4)}
    torch.save({"state_dict": knots, "more": Malice()}, folder / "torch.ckpt")
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, folder / "foreign.ckpt")


@pytest.fixture
def run(command_line: Run, tmp_path: Path) -> Run:
    """Runs a command line in a folder with good and bad files; status, stdout, stderr."""
    write_files(tmp_path)
    return command_line


@pytest.mark.parametrize(("command", "words"), BAD, ids=[command for command, _ in BAD])
def test_bad_input_is_one_line_with_the_thing_and_the_cure(
    command: str, words: list[str], run: Run
) -> None:
    status, output, error = run(command)

    said = [line.removeprefix("INFO: ") for line in error.splitlines()]
    lines = [line for line in said if line and not line.startswith(INFO)]
    assert (status, output, len(lines)) == (2, "", 1), error
    assert lines[0].startswith("kanlit: error: ")
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    ("place", "internal"),
    [
        ("trainer.callbacks", "ResumeCheck"),
        ("trainer.callbacks", "Started"),
        ("trainer.logger", "DummyLogger"),
        ("data", "FunctionData"),
    ],
)
def test_classes_of_no_use_to_users_are_not_suggested(place: str, internal: str, run: Run) -> None:
    status, _, error = run(f"{SYNTHETIC} --{place} {internal}s")

    assert status == 2
    assert f" {internal}s: " in error
    assert internal not in error.replace(f"{internal}s", "")


@pytest.mark.parametrize("name", ["pickle.ckpt", "torch.ckpt"])
def test_nothing_in_a_checkpoint_is_run(name: str, run: Run, tmp_path: Path) -> None:
    run(f"{SYNTHETIC} --ckpt_path {name}")

    assert not (tmp_path / "written-by-a-pickle").exists()


def test_a_checkpoint_of_other_sizes_says_both(run: Run, tmp_path: Path) -> None:
    assert run(f"{SYNTHETIC} --data.samples 20 --trainer.max_epochs 4")[0] == 0

    status, _, error = run("test --data FeynmanData --ckpt_path last")

    assert status == 2
    assert "in_features 2, but FeynmanData has 3" in error


def test_an_interrupted_run_keeps_its_checkpoint_and_says_where(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    words = f"{SYNTHETIC} --data.samples 50 --trainer.max_epochs 1000000"
    process = start("kanlit", *words.split(), folder=tmp_path)
    checkpoint = tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"
    deadline = time.monotonic() + 300  # imports on a busy machine
    while time.monotonic() < deadline:  # the first is there before the first epoch
        if checkpoint.is_file() and torch.load(checkpoint, weights_only=True)["epoch"] > 0:
            break
        time.sleep(0.1)
    process.send(signal.SIGINT)
    ended = process.ended(60)

    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr
    assert f"checkpoint: {checkpoint.relative_to(tmp_path)}" in ended.stderr.splitlines()[-1]
    assert torch.load(checkpoint, weights_only=True)["epoch"] > 0


def test_the_innermost_configuration_error_is_the_root_cause() -> None:
    inner, outer = ConfigurationError("inner"), ConfigurationError("outer")
    inner.__cause__, outer.__cause__ = KeyError("x"), inner

    assert root_cause(outer, (ConfigurationError,)) is inner


def test_an_error_raised_from_none_hides_what_it_replaces() -> None:
    error = ConfigurationError("shown")
    error.__context__, error.__suppress_context__ = ConfigurationError("hidden"), True

    assert root_cause(error, (ConfigurationError,)) is error


def test_one_line_drops_the_parsers_noise() -> None:
    message = 'Parser key "a":\n  Subtypes: [int]\n  Errors:\n    - too big\n  Given value: 3'

    assert one_line(message) == 'Parser key "a": too big'
