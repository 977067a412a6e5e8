"""The command from end to end: what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import csv
import shlex
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import kanlit.cli.benchmark as command
from kanlit.benchmark import (
    Outcome,
    Run,
    build_matrix,
    choose_tasks,
    densities_by_class,
    train,
)
from kanlit.benchmark.engine import Engine, Train
from kanlit.benchmark.runner import run_matrix
from kanlit.cli import main

pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

SMALL = {
    "synthetic": {"trainer": {"max_epochs": 6}, "data": {"init_args": {"samples": 30}}},
    "feynman": {"trainer": {"max_epochs": 6}, "data": {"init_args": {"samples": 30}}},
    "helmholtz": {
        "trainer": {"max_epochs": 3},
        "adaptation": {"schedule": [3]},
        "data": {"init_args": {"points_per_axis": 5}},
    },
}
SUITES = "--tasks f2,feynman9,helmholtz12 --seeds 1,2 --recipe small.yaml"

Command = Callable[[str], "tuple[int, str, str]"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a recipe of a few epochs."""
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return tmp_path


@pytest.fixture
def run(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs ``kanlit benchmark`` in that folder and in this process; status, stdout, stderr."""
    monkeypatch.setattr(command, "local_engine", lambda jobs, threads: in_process)

    def run(words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kanlit", "benchmark", *shlex.split(words)])
        with pytest.raises(SystemExit) as exit_info:
            main()
        code = exit_info.value.code
        return (code if isinstance(code, int) else 0), *capsys.readouterr()

    return run


def in_process(runs: Sequence[Run], train: Train) -> Generator[Outcome, None, None]:
    yield from map(train, runs)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open() as file:
        return list(csv.DictReader(file))


def keys(folder: Path) -> list[tuple[str, ...]]:
    return [tuple(row.values())[:5] for row in rows(folder)]


# -- what it writes -------------------------------------------------------------------------


def test_every_run_of_the_matrix_is_a_row_with_a_curve(run: Command, small: Path) -> None:
    status, output, _ = run(f"{SUITES} --out out")

    assert status == 0
    assert output.splitlines()[-1] == "next: kanlit benchmark report out"
    tasks = [("helmholtz", "(1,2)"), ("synthetic", "f2"), ("feynman", "f9")]
    densities = ("InputDensity", "CurvatureDensity")
    wanted = {(*t, d, "small", s) for t in tasks for d in densities for s in "12"}
    assert set(keys(small / "out")) == wanted
    assert len(keys(small / "out")) == len(wanted) == 12
    for row in rows(small / "out"):
        assert (row["error"], row["epochs"]) == (
            "",
            "3" if row["benchmark"] == "helmholtz" else "6",
        )
        assert float(row["rel_l2"]) > 0
    curves = sorted((small / "out" / "curves").iterdir())
    assert len(curves) == 12
    assert curves[-1].read_text().splitlines()[0] == "epoch,train_loss,grid_size,adapted"
    assert not (small / "out" / "runs").exists()


def test_a_config_of_your_own_is_compared_with_its_variants(run: Command, small: Path) -> None:
    rows_of_table = [f"{i / 30},{(i / 30) ** 2}" for i in range(30)]
    (small / "t.csv").write_text("\n".join(["a,y", *rows_of_table, ""]))
    columns = {"path": "t.csv", "inputs": "a", "targets": "y"}
    config = {
        "seed_everything": 7,
        "data": {"class_path": "TableData", "init_args": columns},
        "model": {"hidden": [2], "optimizer": "Adam"},
        "trainer": {"max_epochs": 3},
    }
    (small / "my.yaml").write_text(yaml.safe_dump(config))
    wide = {"narrow": {"model": {"hidden": [1]}}, "wide": {"model": {"hidden": [4]}}}
    (small / "variants.yaml").write_text(yaml.safe_dump(wide))
    words = "--config my.yaml --variants variants.yaml --seeds 1,2 --out out"
    status, output, error = run(words)

    assert status == 0, error
    assert output.splitlines()[-1] == "next: kanlit benchmark report out --baseline narrow"
    wanted = {("config", "my", name, "my", seed) for name in wide for seed in "12"}
    assert set(keys(small / "out")) == wanted
    assert {row["params"] for row in rows(small / "out") if row["density"] == "wide"} == {
        str(max(int(row["params"]) for row in rows(small / "out")))
    }
    assert run("report out --baseline narrow")[0] == 0
    assert "wide" in (small / "out" / "report" / "report.md").read_text()
    bad = {
        "--config my.yaml --tasks f2 --out o": "--tasks is of the suites",
        "--config none.yaml --out o": "none.yaml",
        "--config my.yaml --densities Nothing --out o": "Nothing",
    }
    for words, said in bad.items():
        status, _, error = run(words)
        assert (status, error.count("\n")) == (2, 1)
        assert said in error


def test_variants_on_classes_are_compared_by_cross_entropy(run: Command, small: Path) -> None:
    lines = [f"{i % 17},{i % 5},{'low' if i % 17 < 8 else 'high'}" for i in range(90)]
    (small / "t.csv").write_text("\n".join(["a,b,kind", *lines, ""]))
    columns = {"path": "t.csv", "inputs": ["a", "b"], "label": "kind"}
    config = {
        "data": {"class_path": "ClassTableData", "init_args": columns},
        "model": {"hidden": []},
        "adaptation": {"schedule": [3]},
    }
    (small / "kinds.yaml").write_text(yaml.safe_dump(config))
    epochs = {"short": {"trainer": {"max_epochs": 2}}, "long": {"trainer": {"max_epochs": 40}}}
    (small / "variants.yaml").write_text(yaml.safe_dump(epochs))
    words = "--config kinds.yaml --variants variants.yaml --seeds 1,2 --out out"
    status, _, error = run(words)

    assert status == 0, error
    found = {(row["density"], row["seed"]): row for row in rows(small / "out")}
    assert {row["benchmark"] for row in found.values()} == {"classes"}
    assert {row["rel_l2"] for row in found.values()} == {""}
    for row in found.values():
        assert 0 < float(row["accuracy"]) <= 1
        assert 0 <= float(row["calibration_error"]) < 1
    losses = {key: float(row["cross_entropy"]) for key, row in found.items()}
    assert all(losses["long", seed] < losses["short", seed] for seed in "12")
    assert run("report out --baseline short")[0] == 0
    text = (small / "out" / "report" / "report.md").read_text()
    assert "Median cross-entropy over the seeds" in text
    assert "relative L2" not in text
    assert "| task | density | accuracy | calibration error |" in text


def test_a_second_time_it_makes_what_is_missing_and_what_failed(
    run: Command, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "--tasks f2,f4 --densities InputDensity --seeds 1 --recipe small.yaml --out out"
    monkeypatch.setattr(command, "local_engine", lambda jobs, threads: _failing_on("f4"))
    status, output, _ = run(words)
    assert status == 1
    assert "failed: 1" in output
    first = {row["task"]: row for row in rows(small / "out")}
    assert first["f4"]["error"] == "RuntimeError: no luck with f4"
    assert first["f4"]["rel_l2"] == ""

    monkeypatch.setattr(command, "local_engine", lambda jobs, threads: in_process)
    status, output, _ = run(words)
    second = {row["task"]: row for row in rows(small / "out")}
    assert status == 0
    assert "runs: 1 in" in output
    assert second["f2"] == first["f2"]
    assert second["f4"]["error"] == ""
    assert len(keys(small / "out")) == 2

    run(words.replace("--seeds 1", "--seeds 1-3"))
    assert len(keys(small / "out")) == len(set(keys(small / "out"))) == 6


def _failing_on(task: str) -> Engine:
    from kanlit.benchmark.training import failure

    def engine(runs: Sequence[Run], train: Train) -> Generator[Outcome, None, None]:
        for each in runs:
            unlucky = each.key.task == task
            error = RuntimeError(f"no luck\n with {task}")
            yield failure(each, error) if unlucky else train(each)

    return engine


def test_variants_stand_under_their_names(run: Command, small: Path) -> None:
    variants = {
        "wide": {"model": {"hidden": [7]}, "adaptation": {"density": "InputDensity"}},
        "sgd": {"model": {"optimizer": {"class_path": "SGD", "init_args": {"lr": 0.01}}}},
    }
    (small / "v.yaml").write_text(yaml.safe_dump(variants))

    run("--tasks f2 --seeds 1 --variants v.yaml --recipe small.yaml --out out")
    found = {row["density"]: row for row in rows(small / "out")}

    assert set(found) == {"wide", "sgd"}
    assert int(found["wide"]["params"]) < int(found["sgd"]["params"])  # 7 hidden units, not 10


def test_warnings_are_kept_beside_the_table(run: Command, small: Path) -> None:
    flat = {"class_path": "CurvatureDensity", "init_args": {"epsilon": 1e9}}
    (small / "v.yaml").write_text(yaml.safe_dump({"flat": {"adaptation": {"density": flat}}}))

    run("--tasks f2 --seeds 1 --variants v.yaml --recipe small.yaml --out out")

    text = (small / "out" / "warnings.log").read_text()
    assert text.startswith("synthetic-f2-flat-small-1: ")
    assert "flat grid" in text


def test_a_name_whose_settings_have_changed_is_refused(run: Command, small: Path) -> None:
    words = "--tasks f2 --seeds 1 --variants v.yaml --recipe small.yaml --out out"
    (small / "v.yaml").write_text("a: {model: {hidden: [3]}}\n")
    run(words)
    before = (small / "out" / "results.csv").read_bytes()
    (small / "v.yaml").write_text("a: {model: {hidden: [4]}}\n")

    status, _, error = run(words)

    assert status == 2
    assert "a had other settings" in error
    assert "another folder" in error
    assert (small / "out" / "results.csv").read_bytes() == before


def test_a_second_command_keeps_off_a_folder(run: Command, small: Path) -> None:
    matrix = build_matrix(choose_tasks(words=["f2"]), densities_by_class(["InputDensity"]))
    said: list[Any] = []

    def engine(runs: Sequence[Run], train: Train) -> Generator[Outcome, None, None]:
        said.append(run("--tasks f4 --seeds 1 --recipe small.yaml --out out"))
        yield from ()

    run_matrix(matrix, small / "out", engine)

    assert said[0][0] == 2
    assert "another kanlit benchmark is writing to" in said[0][2]


def test_report_is_handed_its_words(run: Command, small: Path) -> None:
    status, _, error = run("report nowhere")

    assert status == 2
    assert "nowhere" in error


# -- interruptions --------------------------------------------------------------------------


def test_ctrl_c_says_how_to_go_on(
    run: Command, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(runs: Sequence[Run], train: Train) -> Generator[Outcome, None, None]:
        yield train(runs[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "local_engine", lambda jobs, threads: engine)

    status, output, error = run(f"{SUITES} --out 'my out'")

    assert (status, output) == (130, "")
    last = error.splitlines()[-1]
    assert last.startswith("kanlit: interrupted, 1 of 12 runs done; continue with kanlit bench")
    assert shlex.split(last.partition("kanlit benchmark ")[2])[-1] == "my out"
    assert len(keys(small / "my out")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_struck_down_goes_on_where_it_was(
    blow: signal.Signals, start: Callable[..., Any], run: Command, small: Path
) -> None:
    words = "--tasks f2,f4 --seeds 1-30 --recipe small.yaml --jobs 1 --out out"
    table = small / "out" / "results.csv"
    process = start("kanlit", "benchmark", *words.split(), folder=small)
    deadline = time.monotonic() + 300
    while not (table.exists() and table.read_bytes().count(b"\n") > 2):
        assert time.monotonic() < deadline
        assert process.runs()
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.send(blow)
    ended = process.ended(60)
    assert ended.returncode == (130 if blow == signal.SIGINT else -signal.SIGKILL)
    if blow == signal.SIGINT:
        assert "Traceback" not in ended.stderr
        assert "continue with kanlit benchmark" in ended.stderr.splitlines()[-1]
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive  # none goes on training for nobody
    done = keys(small / "out")
    assert 2 <= len(done) < 120
    densities = densities_by_class(["InputDensity"])
    (first,) = build_matrix(choose_tasks(words=["f2"]), densities, "small.yaml", [1]).runs
    assert done[0] == tuple(map(str, first.key))
    assert float(rows(small / "out")[0]["rel_l2"]) == train(first, 1).row.rel_l2  # to the last bit

    assert run(words.replace("1-30", "1"))[0] == 0

    assert len(keys(small / "out")) == len(set(keys(small / "out")))
    assert set(keys(small / "out")) == set(done) | {
        ("synthetic", task, density, "small", "1")
        for task in ("f2", "f4")
        for density in ("InputDensity", "CurvatureDensity")
    }
    assert {row["error"] for row in rows(small / "out")} == {""}


# -- what it refuses ------------------------------------------------------------------------

FILES = {
    "empty.yaml": "",
    "list.yaml": "- 1\n",
    "broken.yaml": "a: [1\nb: {\n",
    "no_variant.yaml": "{}",
    "flat_variant.yaml": "a: 3",
    "odd_name.yaml": "a b: {model: {hidden: [3]}}",
    "misspelt.yaml": "a: {adaptation: {densty: InputDensity}}",
    "no_suite.yaml": "synthetik: {trainer: {max_epochs: 3}}",
    "misspelt_recipe.yaml": "synthetic: {trainer: {max_epoch: 3}}",
    "paper.yaml": "synthetic: {trainer: {max_epochs: 3}}",
    "file": "",
}
# Words of a command line, and those that its error must hold.
BAD: list[tuple[str, list[str]]] = [
    ("", ["--out", "kanlit benchmark --help"]),
    ("--out out --sute all", ["--sute"]),
    (
        "--out out --suite synthetik",
        ["'synthetik'", "did you mean synthetic?", "helmholtz, sharp, equations, all"],
    ),
    ("--out out --tasks f2,f11", ["'f11'", "did you mean f1?", "feynman15"]),
    ("--out out --tasks ,", ["no task", "f2,feynman9"]),
    ("--out out --suite feynman --tasks f2", ["no task of the suite feynman"]),
    ("--out out --densities InptDensity", ["InptDensity", "did you mean InputDensity?"]),
    ("--out out --densities ,", ["no density", "InputDensity,CurvatureDensity"]),
    ("--out out --densities nomodule.Mine", ["cannot import nomodule"]),
    ("--out out --densities SyntheticData", ["SyntheticData is a data class, not a density"]),
    ("--out out --seeds ,", ["--seeds", "42,43"]),
    ("--out out --seeds 4x", ["--seeds", "'4x'"]),
    ("--out out --seeds 46-42", ["--seeds", "42-46"]),
    ("--out out --recipe sond", ["recipe sond does not exist", "sound, paper"]),
    ("--out out --recipe empty.yaml", ["recipe empty.yaml is empty"]),
    ("--out out --recipe no_suite.yaml", ["'synthetik' in recipe", "synthetic, feynman"]),
    ("--out out --recipe misspelt_recipe.yaml", ["trainer.max_epoch", "did you mean"]),
    ("--out out --recipe paper.yaml", ["rename the file"]),
    ("--out out --variants none.yaml", ["none.yaml does not exist", "path"]),
    ("--out out --variants empty.yaml", ["empty.yaml is empty"]),
    ("--out out --variants list.yaml", ["list.yaml holds a list"]),
    ("--out out --variants broken.yaml", ["broken.yaml is not YAML", "line"]),
    ("--out out --variants no_variant.yaml", ["no_variant.yaml is empty"]),
    ("--out out --variants flat_variant.yaml", ["variant a", "holds a int"]),
    ("--out out --variants odd_name.yaml", ["'a b'", "letters"]),
    ("--out out --variants misspelt.yaml", ["a, synthetic", "did you mean adaptation.density?"]),
    ("--out out --variants .", ["is a folder"]),
    ("--out out --variants small.yaml --densities InputDensity", ["not allowed with"]),
    ("--out out --jobs 0", ["--jobs", "at least 1"]),
    ("--out out --threads 0", ["--threads", "at least 1"]),
    ("--out out --jobs many", ["--jobs", "many"]),
    ("--out out --backend slurm", ["--backend", "local", "dask"]),
    ("--out out --backend dask", ["--scheduler"]),
    ("--out out --scheduler tcp://127.0.0.1:1", ["--backend dask"]),
    ("--out out --backend dask --scheduler tcp://127.0.0.1:1 --jobs 2", ["--jobs"]),
    ("--out file", ["file", "another folder"]),
    ("--out file/below", ["file", "another folder"]),
    ("--out foreign", ["foreign/results.csv", "its columns are a,b"]),
]


@pytest.mark.parametrize(("words", "wanted"), BAD, ids=[words for words, _ in BAD])
def test_bad_input_is_one_line_and_nothing_runs(
    words: str, wanted: list[str], run: Command, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in FILES.items():
        (small / name).write_text(text)
    (small / "foreign").mkdir()
    (small / "foreign" / "results.csv").write_text("a,b\n1,2\n")
    monkeypatch.setattr(command, "local_engine", lambda jobs, threads: _none)
    few = "" if "--tasks" in words or "--suite" in words else " --tasks f1"

    status, output, error = run(words + few)

    assert (status, output) == (2, "")
    (line,) = error.splitlines()
    assert line.startswith("kanlit: error: ")
    for word in wanted:
        assert word in line


def _none(runs: Sequence[Run], train: Train) -> Generator[Outcome, None, None]:
    raise AssertionError("something was run")
    yield


def test_without_dask_the_extra_is_named(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)

    status, _, error = run("--out out --tasks f1 --backend dask --scheduler tcp://127.0.0.1:1")

    assert status == 2
    assert "kanlit[cluster]" in error


def test_help_shows_the_command_and_its_options(
    run: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = run("--help")[1]
    for option in ("--suite", "--tasks", "--densities", "--variants", "--seeds", "--recipe"):
        assert option in text
    assert "kanlit benchmark report" in text

    monkeypatch.setattr(sys, "argv", ["kanlit", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "    benchmark  " in capsys.readouterr().out
