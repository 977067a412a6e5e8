"""Every shipped config parses against the real signatures, trains, and keeps a checkpoint."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import pytest
import yaml

from kanlit.cli import main

# Runs of two epochs are warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

ROOT = Path(__file__).resolve().parents[1]
# Variants for kanlit benchmark are no configs; tests/benchmark has them.
VARIANTS = ROOT / "configs" / "benchmark"
EQUATIONS = ROOT / "configs" / "equations"  # a link, which rglob does not follow
FOUND = {*(ROOT / "configs").rglob("*.yaml"), *EQUATIONS.glob("*.yaml")}
CONFIGS = [path for path in sorted(FOUND) if VARIANTS not in path.parents]


def test_there_is_a_config_for_the_quickstart_and_for_each_benchmark() -> None:
    names = {path.stem for path in CONFIGS}

    assert names >= {"quickstart", "synthetic", "feynman", "helmholtz"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_trains_for_two_epochs(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    command = ["kanlit", "fit", "--config", str(path), "--trainer.max_epochs", "2"]
    config = yaml.safe_load(path.read_text())
    schedule = config.get("adaptation", {}).get("schedule")
    if isinstance(schedule, dict):  # of a run longer than two epochs
        command += ["--adaptation.schedule", "[3, 6]"]
    if config["data"]["class_path"] == "EquationData":
        monkeypatch.setattr("kanlit.data.equations._TEST_POINTS_PER_AXIS", 20)
        if "points_per_axis" in config["data"]["init_args"]:
            command += ["--data.points_per_axis", "8"]
        else:
            command += ["--data.points", "200", "--data.redraw", "ResidualDraw"]
            command += ["--data.redraw.pool", "400"]
    if path.stem == "pruning":
        command += [
            "--trainer.callbacks",
            "[{class_path: PruningCallback, init_args: {epochs: [1]}}]",
        ]
    if "TimeWindows" in str(config.get("trainer", {}).get("callbacks")):  # an epoch each
        command += [
            "--trainer.callbacks",
            "[{class_path: TimeWindows, init_args: {windows: 2}}]",
        ]
    if path.parent.name == "cluster":  # all but the machines
        one = ("accelerator=cpu", "devices=1", "num_nodes=1", "strategy=auto")
        command += [f"--trainer.{setting}" for setting in (*one, f"default_root_dir={tmp_path}")]
    monkeypatch.setattr(sys, "argv", command)

    main()

    output = capsys.readouterr().out
    found = dict(re.findall(r"^([a-zA-Z0-9 ]+): (.+)$", output, re.MULTILINE))
    names = ("relative L2", "accuracy", "loss on test points")
    scores = [float(found[name]) for name in names if name in found]
    assert len(scores) == 1
    assert math.isfinite(scores[0])
    assert (tmp_path / found["checkpoint"]).is_file()
