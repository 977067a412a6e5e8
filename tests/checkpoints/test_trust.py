"""What is read is never run: checkpoints, configs beside them, tables, the working folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import MultiStepLR

from kanlit.checkpoints import (
    AtomicCheckpointIO,
    module_settings,
    read_checkpoint,
    restore_module,
)
from kanlit.errors import ConfigurationError
from kanlit.modules import RegressionModule

CommandLine = Callable[[str], tuple[int, str, str]]
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")
STUDY = Path(__file__).resolve().parents[2] / "studies" / "hostile_files.py"
LAYER = "network.layers.0"


def content_of(module: RegressionModule) -> dict[str, Any]:
    """What a checkpoint of a module holds, at the least."""
    settings = {"in_features": 2, "out_features": 1, "hidden": [2]}
    named = {"class_path": "kanlit.RegressionModule", "columns": None}
    return {
        "state_dict": dict(module.state_dict()),
        "hyper_parameters": settings,
        "kanlit": named,
        "pytorch-lightning_version": "2.6.6",
    }


@pytest.fixture
def content() -> dict[str, Any]:
    return content_of(RegressionModule(2, 1, hidden=[2]))


def saved(content: Any, folder: Path) -> Path:
    path = folder / "m.ckpt"
    torch.save(content, path)
    return path


# -- the file -----------------------------------------------------------------------------------


def test_what_is_read_is_what_was_saved(content: dict[str, Any], tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    schedule = MultiStepLR(torch.optim.SGD([parameter]), [2, 2, 5]).state_dict()
    base = torch.arange(12.0).reshape(3, 4)
    content |= {"schedule": schedule, "transposed": base.T, "part": base[1:, 1:], "none": base[:0]}
    again = read_checkpoint(saved(content, tmp_path))
    assert again["schedule"] == schedule
    assert type(again["schedule"]["milestones"]) is type(schedule["milestones"])
    for key in ("transposed", "part", "none"):
        assert torch.equal(again[key], content[key])
    for key, tensor in content["state_dict"].items():
        assert torch.equal(again["state_dict"][key], tensor)


def deflated(path: Path) -> None:
    """Compress a checkpoint's entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def doubled(levels: int) -> list[Any]:
    """A list that stands for 2**levels values."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value, value]
    return value


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


LARGE: dict[str, tuple[Any, str]] = {
    "an expanded tensor": (torch.zeros(1).expand(10**12), "larger than its storage"),
    "a list doubled 40 times": (doubled(40), "too many values"),
    "a list 200 deep": (nested(200), "too deeply nested"),
    "a large integer": (2**80, "an object of int"),
    "a complex tensor": (torch.zeros(2, dtype=torch.complex64), "ComplexFloatStorage"),
    "a set": ({1, 2}, "it names"),
    "keys of another kind": ({(1, 2): 3}, "other keys"),
}


@pytest.mark.parametrize("name", LARGE)
def test_sizes_and_kinds_are_refused_before_memory_is_taken(
    name: str, content: dict[str, Any], tmp_path: Path
) -> None:
    value, said = LARGE[name]
    path = saved({**content, "extra": value}, tmp_path)
    with pytest.raises(ConfigurationError, match=said):
        read_checkpoint(path)


def test_compressed_entries_are_refused(content: dict[str, Any], tmp_path: Path) -> None:
    path = saved({**content, "zeros": torch.zeros(10**6)}, tmp_path)
    deflated(path)
    assert path.stat().st_size < 10**5
    with pytest.raises(ConfigurationError, match="compressed entries"):
        read_checkpoint(path)


@pytest.mark.parametrize("kind", ["checkpoint", "table", "config"])
def test_a_pipe_and_a_device_are_refused_without_reading(
    kind: str, content: dict[str, Any], tmp_path: Path, command_line: CommandLine
) -> None:
    os.mkfifo(tmp_path / "pipe")
    good = saved(content, tmp_path)
    words = {
        "checkpoint": "predict --ckpt_path {} --input t.csv",
        "table": f"fit --data TableData --data.path {{}} --data.inputs [a] --data.targets [y] "
        f"--trainer.default_root_dir {tmp_path}",
        "config": f"plot {good} --config {{}}",
    }[kind]
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    for path in ("pipe", "/dev/zero"):
        status, _, error = command_line(words.format(path))
        assert status == 2
        assert path in error


def test_an_environment_variable_makes_no_load_unsafe(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Marks:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "mark"),)

    path = saved({**content, "callbacks": Marks()}, tmp_path)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(ConfigurationError, match="mkdir"):
        AtomicCheckpointIO().load_checkpoint(path)
    assert not (tmp_path / "mark").exists()


# -- what is in it ------------------------------------------------------------------------------

KNOTS, WEIGHTS = f"{LAYER}.knots", f"{LAYER}.coefficients"
MALFORMED: list[tuple[tuple[str, ...], Any, str]] = [
    (("state_dict", KNOTS), torch.zeros(2, 10), "does not rise"),
    (("state_dict", KNOTS), torch.tensor(1.0), "shape"),
    (("state_dict", KNOTS), torch.zeros(2, 10, 1), "shape"),
    (("state_dict", KNOTS), "text", "not a tensor"),
    (("state_dict", KNOTS), torch.arange(20).reshape(2, 10), "torch.int64"),
    (("state_dict", WEIGHTS), torch.full((2, 2, 6), torch.nan), "NaN or infinite"),
    (("state_dict", WEIGHTS), torch.ones(2, 2, 6, dtype=torch.bool), "true and false"),
    (("state_dict", WEIGHTS), torch.ones(2, 2, 60), "does not fit"),
    (("hyper_parameters",), [1], "not a mapping"),
    (("kanlit",), "text", "not a mapping"),
    (("kanlit", "columns"), [1], "not a mapping"),
    (("kanlit", "columns"), {"inputs": [1], "targets": ["y"]}, "names of inputs"),
    (("callbacks",), [1], "not a mapping"),
    (("callbacks",), {"KnotPlotCallback": {"history": 3}}, "knot history is malformed"),
    (("loops",), 3, "not a mapping"),
    (("epoch",), -1, "not a count"),
    (("global_step",), 1.5, "not a count"),
    (("optimizer_states",), {}, "not a list"),
    (("lr_schedulers",), [3], "not a mapping"),
    (("pytorch-lightning_version",), "1.0.0", "version"),
]


@pytest.mark.parametrize(("keys", "value", "said"), MALFORMED)
def test_malformed_content_is_one_line(
    keys: tuple[str, ...], value: Any, said: str, content: dict[str, Any], tmp_path: Path
) -> None:
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_checkpoint(saved(content, tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [{"class_path": "os.system"}, 3, None])
def test_a_path_of_the_best_that_is_no_text_is_one_line(
    value: Any, content: dict[str, Any], tmp_path: Path
) -> None:
    content["callbacks"] = {"Checkpoint": {"best_model_path": value, "best_k_models": {}}}
    with pytest.raises(ConfigurationError, match="a path of its best checkpoints is not a text"):
        AtomicCheckpointIO().load_checkpoint(saved(content, tmp_path))


SETTINGS = [
    ("hidden", [10**7], "make a network of"),
    ("grid_size", 10**9, "make a network of"),
    ("hidden", [1] * 10, "layers"),
    ("hidden", "text", "its settings are hidden 'text'"),
    ("grid_size", {"class_path": "os.system"}, "no such setting"),
    ("basis", "none", "which is not part of kanlit"),
    ("in_features", 3, "do not fit"),
]


@pytest.mark.parametrize(("name", "value", "said"), SETTINGS)
def test_settings_that_do_not_fit_are_one_line(
    name: str, value: Any, said: str, content: dict[str, Any], tmp_path: Path
) -> None:
    content["hyper_parameters"][name] = value
    with pytest.raises(ConfigurationError, match=said):
        restore_module(content, tmp_path / "m.ckpt")


def test_an_optimizer_is_never_taken_from_a_checkpoint(
    content: dict[str, Any], tmp_path: Path
) -> None:
    own = dict(content["hyper_parameters"])
    call = {"class_path": "os.system", "init_args": {"command": "true"}}
    content["hyper_parameters"] |= {"optimizer": call, "lr_scheduler": call, "other": 1}
    assert module_settings(content, RegressionModule, tmp_path) == own


def test_paths_of_the_best_are_looked_for_beside_the_checkpoint(
    content: dict[str, Any], tmp_path: Path
) -> None:
    far = tmp_path / "far"
    far.mkdir()
    best = saved(content, tmp_path).rename(tmp_path / "best.ckpt")
    shutil.copy(best, far / "secret.ckpt")
    score = torch.tensor(1.0)
    content["callbacks"] = {
        "Checkpoint": {
            "best_k_models": {
                "/elsewhere/best.ckpt": score,
                f"local://{far}": score,
                str(far / "secret.ckpt"): score,
            },
            "best_model_path": "/elsewhere/best.ckpt",
            "dirpath": "/",
        }
    }
    state = AtomicCheckpointIO().load_checkpoint(saved(content, tmp_path))["callbacks"]
    assert state["Checkpoint"]["best_k_models"] == {str(best): score}
    assert state["Checkpoint"]["best_model_path"] == str(best)
    assert state["Checkpoint"]["dirpath"] == str(tmp_path)


def test_removing_a_checkpoint_never_removes_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - which of them is the system's matter
        AtomicCheckpointIO().remove_checkpoint(tmp_path)
    assert tmp_path.is_dir()


# -- the command line ---------------------------------------------------------------------------

TABLE = "--data TableData --data.path t.csv --data.inputs [a] --data.targets [y]"


@pytest.mark.parametrize("place", ["model.optimizer", "model.lr_scheduler"])
def test_a_function_is_no_optimizer(place: str, command_line: CommandLine) -> None:
    status, _, error = command_line(
        f"fit {TABLE} --{place} os.system --{place}.command 'touch mark'"
    )
    assert status == 2
    assert "os.system is not a" in error
    assert not Path("mark").exists()


def test_the_working_folder_is_no_place_to_import_from(
    command_line: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i},{i * i}\n" for i in range(20)))
    for name in ("tensorflow", "mpi4py", "s3fs", "zstandard"):
        (tmp_path / f"{name}.py").write_text("open('mark', 'w')")
    short = "--trainer.max_epochs 1 --adaptation.schedule [3] --trainer.enable_progress_bar false"
    status, _, error = command_line(f"fit {TABLE} --model.hidden [] {short}")
    assert status == 0, error
    status, _, error = command_line("plot last")
    assert status == 0, error
    assert not Path("mark").exists()


def test_a_class_of_ones_own_is_imported_where_it_is_named(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i},{i * i}\n" for i in range(20)))
    (tmp_path / "named_here.py").write_text(
        "import helps_it\nfrom kanlit import RegressionModule\nclass Own(RegressionModule): pass\n"
    )
    (tmp_path / "helps_it.py").write_text("")
    short = "--trainer.max_epochs 1 --adaptation.schedule [3] --trainer.enable_progress_bar false"
    own = "--model named_here.Own"
    status, _, error = command_line(f"fit {TABLE} {own} --model.hidden [] {short}")
    assert status == 0, error
    for name in ("named_here", "helps_it"):
        monkeypatch.delitem(sys.modules, name)

    words = "predict --ckpt_path last --input t.csv --output o.csv"
    status, _, error = command_line(words)
    assert status == 2
    assert "set model to named_here.Own" in error
    assert "named_here" not in sys.modules
    status, _, error = command_line(f"{words} {own}")
    assert status == 0, error
    status, _, error = command_line(f"test {TABLE} --ckpt_path last")
    assert status == 2
    assert "set model to" in error
    status, _, error = command_line(f"test {TABLE} {own} --ckpt_path last")
    assert status == 0, error
    for name in ("named_here", "helps_it"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "text",
    [
        "data: &a [*a]\n",
        "b: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
        "data: " + "[" * 3000 + "]" * 3000,
    ],
    ids=["itself", "doubled", "deep"],
)
def test_yaml_that_expands_is_one_line(
    text: str, command_line: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(text)
    status, _, error = command_line("fit --config c.yaml")
    assert status == 2
    assert error.startswith("kanlit: error: ")
    assert error.count("\n") == 1


# -- every command ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hostile_files", STUDY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


def test_a_call_in_a_checkpoint_or_config_is_made_by_no_command(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kanlit"])
    monkeypatch.setattr(
        study, "FIELDS", [("hyper_parameters", "optimizer"), ("callbacks", "Checkpoint")]
    )
    monkeypatch.setattr(study, "CONFIG_FIELDS", [("model", "init_args", "optimizer"), ("data",)])
    monkeypatch.setattr(study, "values", lambda folder: {"a call": study.CALL})
    skipped = ("export", "formula", "validate")
    commands = tuple(c for c in study.COMMANDS if not c.startswith(skipped))
    found = study.examine(tmp_path, fields=2, hostile=1, commands=commands)
    assert [o for o in found if o.broken] == []
    assert {o.status for o in found} <= {"0", "2"}
    assert all(o.said.startswith("kanlit: error: ") for o in found if o.status == "2")
