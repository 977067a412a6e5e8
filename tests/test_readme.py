"""What the README shows is run: both commands, every ``kanlit`` line, every config."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
TRAINER_COMMANDS = {"fit", "validate", "test", "predict"}


def blocks(language: str) -> list[str]:
    """The contents of the README's fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def kanlit_commands() -> list[str]:
    """Every trainer command line of the blocks that begin with ``kanlit``."""
    lines = (
        line
        for block in blocks("bash")
        if block.startswith("kanlit")
        for line in block.replace("\\\n", " ").splitlines()
    )
    return [line for line in lines if line.split()[1] in TRAINER_COMMANDS]


def of_tables() -> list[str]:
    """Those that predict a table, without a config."""
    return [line for line in kanlit_commands() if "--input" in line]


def printed_config(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    """What ``kanlit ARGUMENTS --print_config`` prints, parsed."""
    from kanlit.cli import main

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["kanlit", *arguments, "--print_config"])
    with pytest.raises(SystemExit) as exit_info:
        main()
    output = capsys.readouterr()
    assert exit_info.value.code in {0, None}, output.err
    return yaml.safe_load(output.out)


@pytest.mark.parametrize("command", sorted(set(kanlit_commands()) - set(of_tables())))
def test_every_kanlit_command_parses(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = printed_config(shlex.split(command)[1:], monkeypatch, capsys)

    assert {"data", "model", "adaptation", "trainer"} <= set(config)


@pytest.mark.parametrize("command", of_tables())
def test_every_prediction_of_a_table_parses(command: str) -> None:
    from kanlit.cli.table_prediction import parser

    assert parser().parse_args(shlex.split(command)[2:]).input == "new.csv"


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_config_parses(
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)

    config = printed_config(["fit", "--config", str(path)], monkeypatch, capsys)

    assert config["model"]["init_args"]["hidden"] == yaml.safe_load(text)["model"]["hidden"]


@pytest.mark.parametrize("text", blocks("python"))
def test_every_python_example_runs(text: str) -> None:
    exec(compile(text, "README.md", "exec"), {})


def test_the_gate_is_the_second_command() -> None:
    assert blocks("bash")[1] == "bash .ci/run\n"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The tracked files alone, in a folder of their own: what a fresh clone would hold."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listing.stdout.split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def bare_environment() -> dict[str, str]:
    """This process's environment without the virtual environment that the tests run in."""
    hidden = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    own = Path(sys.prefix, "bin").resolve()
    folders = environment["PATH"].split(os.pathsep)
    environment["PATH"] = os.pathsep.join(path for path in folders if Path(path).resolve() != own)
    return environment


@pytest.mark.slow
def test_the_first_command_trains_the_quickstart_in_a_fresh_clone(clone: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = subprocess.run(
        ["bash", "-c", blocks("bash")[0]],
        cwd=clone,
        env=bare_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout + run.stderr

    error = re.search(r"^relative L2: (\S+)", run.stdout, re.MULTILINE)
    checkpoint = re.search(r"^checkpoint: (.+\.ckpt)\s*$", run.stdout, re.MULTILINE)
    events = list((clone / "lightning_logs").rglob("events.out.tfevents.*"))
    assert error is not None, run.stdout
    assert float(error[1]) < 0.05
    assert checkpoint is not None, run.stdout
    assert (clone / checkpoint[1]).is_file()  # an absolute path stands for itself
    assert (clone / checkpoint[1]).resolve().is_relative_to(clone.resolve())
    # Lightning opens a second file for the test at the end; the run is their folder.
    (run_folder,) = {path.parent for path in events}
    tags = EventAccumulator(str(run_folder), size_guidance={"images": 1}).Reload().Tags()
    assert "knots" in tags["images"]
    assert {"knots/layers.0", "knots/layers.1"} <= set(tags["histograms"] + tags["distributions"])
    assert {"train/loss", "val/rel_l2", "test/rel_l2", "grid/size"} <= set(tags["scalars"])
