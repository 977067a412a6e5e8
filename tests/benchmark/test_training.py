"""One run: what it gives is what ``kanlit fit`` gives, in whatever process and after whatever."""

from __future__ import annotations

import csv
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import kanlit
from kanlit.benchmark import TASKS, Run, build_matrix, densities_by_class, train
from kanlit.benchmark.recipes import Layer

# A run of eight epochs is warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

SHORT: Layer = {"trainer": {"max_epochs": 8}, "adaptation": {"schedule": [3, 5]}}


def run_of(word: str, layer: Layer = SHORT, seed: int = 42) -> Run:
    (run,) = build_matrix([TASKS[word]], {"variant": layer}, seeds=[seed]).runs
    return run


def fresh_fit(start: Callable[..., Any], run: Run, folder: Path) -> float:
    """The relative L2 error, to the last bit, of ``kanlit fit`` in a process of its own."""
    folder.mkdir()
    logger = ["--trainer.logger", "lightning.pytorch.loggers.CSVLogger"]
    logger += ["--trainer.logger.save_dir", str(folder), "--trainer.limit_val_batches", "1.0"]
    ended = start("kanlit", "fit", *run.arguments, *logger, folder=folder).ended()
    assert ended.returncode == 0, ended.stderr
    (table,) = folder.rglob("metrics.csv")
    with table.open() as file:
        errors = [row["test/rel_l2"] for row in csv.DictReader(file) if row["test/rel_l2"]]
    return float(errors[0])  # of the last weights; the best ones' come after


def test_a_run_in_a_process_that_made_others_equals_a_fresh_fit_to_the_last_bit(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    upsetting = {
        "trainer": {"max_epochs": 3, "precision": "64-true", "deterministic": True},
        "adaptation": {"schedule": [3]},
        "model": {"optimizer": {"class_path": "LBFGS", "init_args": {"max_iter": 2}}},
    }
    wanted = [run_of("f4"), run_of("helmholtz12", {**SHORT, "trainer": {"max_epochs": 3}})]
    runs = [wanted[0], run_of("feynman2", upsetting, 7), *wanted]
    found = [train(run, threads=1) for run in runs]

    assert [outcome.row.error for outcome in found] == [""] * 4
    curve, equation = (fresh_fit(start, run, tmp_path / run.key.task) for run in wanted)
    assert [outcome.row.rel_l2 for outcome in found if outcome.row.benchmark != "feynman"] == [
        curve,
        curve,
        equation,
    ]


@pytest.mark.parametrize("word", ["gray_scott", "cavity"])  # with a solution, with measured values
def test_an_equation_is_trained_by_its_config(word: str) -> None:
    short: Layer = {
        "trainer": {"max_epochs": 2, "check_val_every_n_epoch": 1},
        "adaptation": {"schedule": {0: 3}, "trigger": None, "final_adaptations": None},
    }
    (run,) = build_matrix([TASKS[word]], {"short": short}, "best", [3]).runs
    row = train(run, threads=1).row

    assert (row.key, row.error) == (("equations", word, "short", "best", 3), "")
    assert (row.epochs, row.grid_size) == (2, 3)
    assert row.rel_l2 is not None
    assert 0 < row.rel_l2 < math.inf


def test_a_row_says_what_the_run_was(tmp_path: Path) -> None:
    run = run_of("feynman9", seed=44)
    outcome = train(run, threads=1)
    row = outcome.row

    assert row.key == run.key == ("feynman", "f9", "variant", "sound", 44)
    assert (row.epochs, row.grid_size, row.error) == (8, 5, "")
    # 2·10 and 10·1 edges, each with G + 3 coefficients, a base weight and a scale; 11 biases.
    assert row.params == 30 * (5 + 3 + 2) + 11
    assert row.version == kanlit.__version__
    assert row.rel_l2 is not None
    assert 0 < row.rel_l2 < math.inf
    assert row.wall_s is not None
    assert row.adapt_s is not None
    assert 0 < row.adapt_s < row.wall_s


def test_a_curve_tells_the_loss_and_the_adaptations() -> None:
    layer = {"trainer": {"max_epochs": 250}, "data": {"init_args": {"samples": 20}}}
    curve = train(run_of("f4", {**layer, "adaptation": {"schedule": {0: 3, 77: 4}}}), 1).curve

    assert [point.epoch for point in curve if point.adapted] == [0, 77]
    assert [point.grid_size for point in curve] == [3 if p.epoch < 77 else 4 for p in curve]
    assert curve[-1].epoch == 249
    assert 100 <= len(curve) <= 130
    assert curve[-1].train_loss < 0.5 * curve[0].train_loss


def test_an_error_is_a_row_that_says_it_in_one_line() -> None:
    layer = {"adaptation": {"schedule": {0: 3, 100: 6}}, "trainer": {"max_epochs": 8}}
    outcome = train(run_of("f4", layer), 1)

    assert "epoch 100" in outcome.row.error
    assert "\n" not in outcome.row.error
    assert outcome.row.rel_l2 is None
    assert outcome.row.version == kanlit.__version__


def test_a_run_prints_nothing_leaves_no_file_and_sets_the_process_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    layer = {**SHORT, "trainer": {"max_epochs": 8, "deterministic": True}}
    before = (dict(os.environ), list(warnings.filters), torch.get_num_threads())

    outcome = train(run_of("f4", layer), 1)

    assert outcome.row.error == ""
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert before == (dict(os.environ), list(warnings.filters), torch.get_num_threads())
    assert not torch.are_deterministic_algorithms_enabled()


def test_warnings_are_handed_over() -> None:
    flat = {"class_path": "CurvatureDensity", "init_args": {"epsilon": 1e9}}
    layer = {**SHORT, "adaptation": {"schedule": [3, 5], "density": flat}}

    outcome, quiet = (train(run_of("f4", each), 1) for each in (layer, SHORT))

    assert any("flat grid" in line for line in outcome.warnings)
    assert not any("flat grid" in line for line in quiet.warnings)


def test_logs_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    (run,) = build_matrix([TASKS["f4"]], {"short": SHORT}, seeds=[42], records=True).runs

    kept, bare = train(run, 1, tmp_path / "logs"), train(run_of("f4"), 1)

    assert kept.row.rel_l2 == bare.row.rel_l2
    names = {path.name.partition(".")[0] for path in (tmp_path / "logs").rglob("*.*")}
    assert {"last", "best", "events", "config"} <= names


def test_densities_of_a_recipe_differ_in_what_they_find() -> None:
    names = ["InputDensity", "CurvatureDensity"]
    runs = build_matrix([TASKS["f2"]], densities_by_class(names), seeds=[42]).runs
    brief = [Run(r.key, (*r.layers, "trainer: {max_epochs: 12}\n")) for r in runs]

    errors = [train(run, 1).row.rel_l2 for run in brief]

    assert errors[0] != errors[1]
