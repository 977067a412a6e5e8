"""Runs are told apart by ``kanlit compare``, in TensorBoard, and by the names of their folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from kanlit.runs.results import RESULTS, RunResults, read_results

Command = Callable[[str], tuple[int, str, str]]
TRAIN = (
    "fit --data TableData --data.path t.csv --data.inputs '[a]' --data.targets '[y]' "
    "--model.hidden '[2]' --model.optimizer Adam --trainer.max_epochs 3 "
    "--adaptation.schedule '[3]' --trainer.enable_progress_bar false --trainer.accelerator cpu "
)
ROWS = ["a,y", *(f"{i / 30},{(i / 30) ** 2}" for i in range(30))]


@pytest.fixture
def runs(trained_once: Callable[..., Path], command_line: Command, tmp_path: Path) -> Path:
    """Two runs of two densities."""
    trained_once("compared", ROWS, f"{TRAIN} --name blend")
    status, _, error = command_line(f"{TRAIN} --name inputs --adaptation.density InputDensity")
    assert status == 0, error
    return tmp_path / "lightning_logs"


def test_runs_of_two_densities_are_told_apart(runs: Path, command_line: Command) -> None:
    status, out, error = command_line("compare --csv runs.csv")
    assert status == 0, error
    table = pd.read_csv(runs.parent / "runs.csv").set_index("run")
    assert set(table.index) == {"lightning_logs/blend", "lightning_logs/inputs"}
    assert table.loc["lightning_logs/inputs", "adaptation.density"] == "InputDensity"
    settings = [name for name in table.columns if name.startswith(("adaptation", "model", "data"))]
    assert settings == ["adaptation.density"]  # they differ in nothing else
    assert table["rel_l2"].is_monotonic_increasing
    for name, row in table.iterrows():
        results = read_results(runs.parent / str(name))
        assert results is not None
        assert row["rel_l2"] == results.test["test/rel_l2"]
        assert row["epochs"] == results.epochs == 3
    status, out, _ = command_line("compare --markdown lightning_logs/blend")
    assert status == 0
    assert len(out.splitlines()) == 4  # header, rule, a run, an empty line
    assert "inputs" not in out


def test_results_have_the_grid_of_the_end_where_an_earlier_network_was_best(
    command_line: Command, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("\n".join([*ROWS, ""]))
    words = "--adaptation.schedule '{0: 3, 2: 6}' --trainer.check_val_every_n_epoch 1"
    status, out, error = command_line(f"{TRAIN} {words} --model.optimizer.lr 3")
    assert status == 0, error
    results = read_results(tmp_path / "lightning_logs/version_0")
    assert results is not None
    assert results.best  # another checkpoint, with G = 3
    assert results.grid_size == 6
    assert f"parameters: {results.parameters}\n" in out


def test_tensorboard_tells_them_apart(runs: Path) -> None:
    rows = []
    for name in ("blend", "inputs"):
        (events,) = (runs / name).glob("events.out.*")
        kept = EventAccumulator(str(events)).Reload()
        assert "hp_metric" not in kept.Tags()["scalars"]
        assert len(kept.Scalars("test/rel_l2")) == 1
        layout, *_ = kept.Tensors("custom_scalars__config__")
        errors, _ = Layout.FromString(layout.tensor_proto.string_val[0]).category
        assert [chart.title for chart in errors.chart] == ["loss", "relative L2"]
        metadata = kept.summary_metadata["_hparams_/experiment"].plugin_data
        infos = HParamsPluginData.FromString(metadata.content).experiment.hparam_infos
        first = {info.name for info in infos if info.differs}  # TensorBoard shows five
        assert first == {"data", "density", "hidden", "schedule", "seed"}
        metadata = kept.summary_metadata["_hparams_/session_start_info"].plugin_data
        shown = HParamsPluginData.FromString(metadata.content).session_start_info.hparams
        rows.append({key: value.string_value or value.number_value for key, value in shown.items()})
    blend, inputs = rows
    assert (blend["density"], inputs["density"]) == ("BlendedDensity", "InputDensity")
    assert blend == {**inputs, "density": "BlendedDensity"}
    assert blend["data"] == "TableData t.csv"
    assert blend["hidden"] == "[2]"
    assert blend["optimizer"] == "Adam"
    assert blend["seed"] == 42
    assert yaml.safe_load((runs / "blend/hparams.yaml").read_text())["density"] == "BlendedDensity"


def test_other_loggers_have_the_settings_of_the_module_too(
    command_line: Command, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("\n".join([*ROWS, ""]))
    words = "--trainer.logger CSVLogger --trainer.logger.save_dir ."
    status, _, error = command_line(f"{TRAIN} {words}")
    assert status == 0, error
    kept = yaml.safe_load((tmp_path / "lightning_logs/version_0/hparams.yaml").read_text())
    assert kept["density"] == "BlendedDensity"
    assert kept["initialization"] == "glorot_fine"
    assert not [name for name in kept if name.startswith("_")]


@pytest.mark.parametrize("config", ["", "--config lightning_logs/inputs/config.yaml"])
def test_a_checkpoint_is_tested_on_the_data_of_its_run(
    config: str, runs: Path, command_line: Command
) -> None:
    """Its density is another than that of a test; ``ckpt_path: null`` in a config won before."""
    results = read_results(runs / "inputs")
    assert results is not None
    status, out, error = command_line(f"test --ckpt_path last {config}")
    assert status == 0, error
    error_of_test = next(line.split()[-1] for line in out.splitlines() if "test/rel_l2" in line)
    assert float(error_of_test) == pytest.approx(results.test["test/rel_l2"], rel=1e-6)
    assert "callbacks used to create the checkpoint" not in error


def test_a_run_without_results_is_last(runs: Path, command_line: Command) -> None:
    (runs / "blend" / RESULTS).unlink()
    status, out, error = command_line("compare")
    assert status == 0, error
    assert [line.split()[0] for line in out.splitlines()[1:]] == [
        "lightning_logs/inputs",
        "lightning_logs/blend",
    ]
    assert "–" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("compare", "no run of kanlit fit in ."),
        ("compare nowhere", "no run of kanlit fit in nowhere"),
        ("compare --csv runs.xlsx", "ends in .xlsx"),
        (f"{TRAIN} --name a/b", "not the name of a folder"),
        (f"{TRAIN} --name ..", "not the name of a folder"),
        ((f"{TRAIN} --name a --trainer.logger CSVLogger --trainer.logger.save_dir . "
         "--trainer.logger.version 3"), "leave one out"),
    ],
)  # fmt: skip
def test_refusals(words: str, message: str, command_line: Command, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join([*ROWS, ""]))
    status, _, error = command_line(words)
    assert status == 2
    assert message in error.splitlines()[-1]
    assert not (tmp_path / "lightning_logs" / "a").exists()


def test_a_named_run_is_not_overwritten_but_resumed(runs: Path, command_line: Command) -> None:
    before = {path: path.read_bytes() for path in (runs / "blend").rglob("*") if path.is_file()}
    status, _, error = command_line(f"{TRAIN} --name blend")
    assert status == 2
    assert "of another run" in error
    assert all(path.read_bytes() == content for path, content in before.items())
    status, _, error = command_line(f"{TRAIN} --name blend --ckpt_path last --trainer.max_epochs 5")
    assert status == 0, error
    results = read_results(runs / "blend")
    assert results is not None
    assert results.epochs == 5


def test_results_survive_their_file(tmp_path: Path) -> None:
    kept = RunResults({"test/rel_l2": 0.5, "test/loss": None}, {}, 6, 40, 3, 1.5, "max_epochs, 3")
    kept.write(tmp_path)
    assert read_results(tmp_path) == kept


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 20000, '{"test": 1}', "null"])
def test_a_damaged_file_is_no_result(content: str, tmp_path: Path) -> None:
    (tmp_path / RESULTS).write_text(content)
    assert read_results(tmp_path) is None


def test_a_metric_that_is_not_finite_is_none(tmp_path: Path) -> None:
    RunResults({"test/loss": float("inf")}, {}, 6, 40, 3, 1.5, "").write(tmp_path)
    assert json.loads((tmp_path / RESULTS).read_text())["test"] == {"test/loss": None}
