"""``kanlit plot`` draws a trained run from its checkpoint; what it cannot draw it says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kanlit.nn import KAN
from kanlit.runs.trained import TrainedRun

# Runs of two epochs are warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

Words = Callable[[str], tuple[int, str, str]]

SHORT = (
    "fit --data SyntheticData --data.function gaussian --data.samples 30 --model.hidden '[3]' "
    "--trainer.max_epochs 4 --trainer.log_every_n_steps 1 --adaptation.schedule '{0: 3, 2: 5}'"
)
TABLE = (
    "fit --data TableData --data.path t.csv --data.inputs '[a, b]' --data.targets '[y, z]' "
    "--model.hidden '[]' --trainer.max_epochs 2 --adaptation.schedule '{0: 3}' "
    "--trainer.logger CSVLogger --trainer.logger.save_dir . --trainer.log_every_n_steps 1"
)
PICTURES = ["convergence", "curves", "error_map", "knot_migration", "network"]
STARTS = {"png": b"\x89PNG\r\n", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture(autouse=True)
def _blank_pictures() -> None:
    """Not here: these tests look at the pictures."""


@pytest.fixture
def trained(command_line: Words, tmp_path: Path) -> Path:
    """Checkpoint of a run on a known function."""
    status, _, error = command_line(SHORT)
    assert status == 0, error
    return tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"


def test_files_of_each_format_are_written_whole(
    trained: Path, command_line: Words, tmp_path: Path
) -> None:
    for format_, start in STARTS.items():
        status, output, _ = command_line(f"plot {trained} --format {format_} --output pictures")
        assert status == 0
        for name in PICTURES:
            assert f"{name}: pictures/{name}.{format_}" in output
            content = (tmp_path / "pictures" / f"{name}.{format_}").read_bytes()
            assert content.startswith(start)
            assert len(content) > 5000
    assert len(list((tmp_path / "pictures").iterdir())) == len(STARTS) * len(PICTURES)


def test_last_is_found_and_drawn_into_its_run(
    trained: Path, command_line: Words, tmp_path: Path
) -> None:
    assert command_line("plot last")[0] == 0
    found = sorted(path.stem for path in (trained.parents[1] / "plots").iterdir())
    assert found == PICTURES


def test_table_gets_a_scatter_and_its_names_and_its_metrics_from_csv(
    command_line: Words, tmp_path: Path
) -> None:
    rows = [f"{i},{(i * 7) % 11},{i + (i * 7) % 11},{i * i}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y,z", *rows, ""]))
    assert command_line(TABLE)[0] == 0
    status, output, _ = command_line("plot last --format svg")

    assert status == 0
    assert "omitted" not in output
    run = TrainedRun(next(tmp_path.glob("lightning_logs/*/checkpoints/last.ckpt")))
    assert run.names == {"inputs": ["a", "b"], "targets": ["y", "z"]}
    assert set(run.metrics().curves) == {"train/loss", "val/loss", "val/rel_l2"}
    assert re.search(r"<!-- a \(\d\.\d\d\) -->", (run.folder / "plots/network.svg").read_text())
    assert "<!-- predicted -->" in (run.folder / "plots" / "error_map.svg").read_text()


def test_checkpoint_alone_gives_what_it_holds_and_says_what_is_missing(
    trained: Path, command_line: Words, tmp_path: Path
) -> None:
    (tmp_path / "moved").mkdir()
    shutil.copy(trained, tmp_path / "moved" / "mine.ckpt")
    status, output, _ = command_line("plot moved/mine.ckpt")

    assert status == 0
    assert "error_map: omitted: no config.yaml in moved: give the config of the run" in output
    assert "convergence: omitted: no event files and no metrics.csv in moved" in output
    assert {path.stem for path in (tmp_path / "moved" / "plots").iterdir()} == {
        "network",
        "curves",
        "knot_migration",
    }
    config = trained.parents[1] / "config.yaml"
    assert command_line(f"plot moved/mine.ckpt --config {config}")[0] == 0
    assert (tmp_path / "moved" / "plots" / "error_map.png").is_file()


def test_checkpoint_of_before_has_no_knot_migration_and_says_why(
    trained: Path, command_line: Words, tmp_path: Path
) -> None:
    content = torch.load(trained, weights_only=True)
    content["callbacks"]["KnotPlotCallback"] = {"adaptations": 2}
    torch.save(content, trained)
    status, output, _ = command_line(f"plot {trained}")

    assert status == 0
    assert "knot_migration: omitted: the checkpoint has no record of its knots" in output


def test_layers_and_epoch_come_from_the_checkpoint(trained: Path) -> None:
    run = TrainedRun(trained)
    network = KAN([1, 3, 1], grid_size=5)
    state = torch.load(trained, weights_only=True)["state_dict"]
    own = {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}
    network.load_state_dict(own)
    x = torch.linspace(-1.5, 1.5, 50).unsqueeze(1)
    y = x
    for layer in run.layers().values():
        y = layer(y)

    torch.testing.assert_close(y, network(x).detach(), rtol=0.0, atol=0.0)
    assert list(run.layers()) == ["layers.0", "layers.1"]
    assert run.epoch == 4
    assert [(record.epoch, record.grid_size) for record in run.records] == [(0, 3), (2, 5)]


def test_knots_of_a_resumed_run_are_all_there(trained: Path, command_line: Words) -> None:
    longer = SHORT.replace("2: 5}", "2: 5, 5: 6}").replace("max_epochs 4", "max_epochs 6")
    assert command_line(f"{longer} --ckpt_path last")[0] == 0
    resumed = TrainedRun(trained.parents[2] / "version_1" / "checkpoints" / "last.ckpt")

    assert [(r.epoch, r.grid_size) for r in resumed.records] == [(0, 3), (2, 5), (5, 6)]
    for old, new in zip(TrainedRun(trained).records, resumed.records, strict=False):
        for name, points in old.breakpoints.items():
            assert torch.equal(points, new.breakpoints[name])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("plot", "the following arguments are required: CHECKPOINT: kanlit plot --help shows all"),
        ("plot nowhere.ckpt", "checkpoint nowhere.ckpt does not exist: give the path of a .ckpt"),
        ("plot best --trainer.default_root_dir nowhere", "no best checkpoint under nowhere/light"),
        ("plot {ckpt} --format gif", "invalid choice: 'gif' (choose from"),
        (
            "plot {ckpt} --output taken/pictures",
            "cannot write to taken/pictures (a file exists where its folder would be)",
        ),
        ("plot {ckpt} --config nowhere.yaml", "config nowhere.yaml does not exist: check its path"),
        ("plot {ckpt} --config other.yaml", "has data with 2 inputs and 1 targets"),
        ("plot taken", "taken is not a checkpoint, or it holds more than tensors"),
    ],
)
def test_what_is_wrong_is_one_line(
    words: str, message: str, trained: Path, command_line: Words, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "other.yaml").write_text("data: SyntheticData\n")
    status, _, error = command_line(words.format(ckpt=trained))

    assert status == 2
    assert error.startswith("kanlit: error: ")
    assert error.count("\n") == 1
    assert message in error


def test_help_explains_the_pictures_and_the_options(command_line: Words) -> None:
    status, output, _ = command_line("plot --help")

    assert status == 0
    for word in (*PICTURES, "--output FOLDER", "--format {png,svg,pdf}", "--config FILE"):
        assert word in output
    assert "plot" in command_line("--help")[1]
