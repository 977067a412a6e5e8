"""Two processes on the CPU keep the same knots, coefficients and decisions, to the last bit."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

WORKER = Path(__file__).with_name("worker.py")
SECONDS = 120

Results = dict[str, dict[str, Any]]
Trained = tuple[Path, subprocess.CompletedProcess]
StartRanks = Callable[..., Sequence[Any]]

TO_ONE_PROCESS = {
    "adam": 1e-5,
    "lbfgs": 1e-5,
    "wolfe": 1e-5,
    "lbfgs of twenty": 1e-5,
    "plateau": 1e-5,
    "find_unused": 1e-5,
    "helmholtz": 1e-5,
    "redrawn": 1e-5,
    "windows": 1e-5,
    "classes": 1e-5,
    "undone": 1e-5,
    "inserted": 1e-5,
    "pruned": 1e-5,
    "float32": 1e-4,
}
ON_TWO_PROCESSES = [
    *TO_ONE_PROCESS,
    "mini-batches",
    "own",
    "balanced",
    "resumed adam",
    "resumed lbfgs",
]


def together(processes: Sequence[Any]) -> subprocess.CompletedProcess[str]:
    """What the ranks of a run print, one after the other; they end with one status."""
    ended = [process.ended(SECONDS) for process in processes]
    (status,) = {each.returncode for each in ended}
    out, err = ("".join(said) for said in zip(*((e.stdout, e.stderr) for e in ended), strict=True))
    return subprocess.CompletedProcess((), status, out, err)


@pytest.fixture(scope="module")
def results_of(start_ranks: StartRanks, once: Callable[..., Path]) -> Callable[[int], Results]:
    """What so many processes come to in every scenario."""

    def results_of(processes: int) -> Results:
        def train(out: Path) -> None:
            ended = together(start_ranks(processes, str(WORKER), str(out), str(processes)))
            assert ended.returncode == 0, ended.stderr[-3000:]

        results: Results = torch.load(once(f"adapted-by-{processes}.pt", train))
        return results

    return results_of


@pytest.fixture(scope="module")
def one(results_of: Callable[[int], Results]) -> Results:
    return results_of(1)


@pytest.fixture(scope="module")
def two(results_of: Callable[[int], Results]) -> Results:
    return results_of(2)


@pytest.mark.parametrize("name", ON_TWO_PROCESSES)
def test_ranks_do_not_differ_in_a_single_bit(name: str, two: Results) -> None:
    assert two[name]["apart"] == 0.0


@pytest.mark.parametrize("name", TO_ONE_PROCESS)
def test_two_processes_train_what_one_trains_on_all_the_data(
    name: str, one: Results, two: Results
) -> None:
    assert two[name]["at"] == one[name]["at"]
    for decision in ("undone", "inserted", "inner"):
        assert two[name][decision] == one[name][decision]
    torch.testing.assert_close(
        two[name]["flat"], one[name]["flat"], rtol=0, atol=TO_ONE_PROCESS[name]
    )
    assert two[name]["metrics"] == pytest.approx(one[name]["metrics"], rel=1e-3)


def test_forty_epochs_go_through_three_extensions(two: Results) -> None:
    for name in ("adam", "lbfgs", "wolfe"):
        assert two[name]["at"] == [(0, 3), (10, 4), (20, 6), (30, 8)]


def test_a_plateau_fires_and_extends_on_all_ranks(two: Results) -> None:
    assert [size for _, size in two["plateau"]["at"]][:4] == [3, 4, 5, 6]


def test_ranks_drift_where_the_wrapper_is_not_renewed(two: Results) -> None:
    assert two["not renewed"]["apart"] > 1e-3


def test_an_adaptation_is_undone_on_all_ranks_and_training_goes_on(two: Results) -> None:
    assert two["undone"]["undone"] == 2
    assert two["undone"]["at"] == [(0, 3)]


def test_inner_iterations_of_lbfgs_go_on_until_the_gradient_is_small(two: Results) -> None:
    counts = two["lbfgs of twenty"]["inner"]
    assert counts[0] == counts[25] == 20  # after the start and after an extension: all of them
    assert counts[24] == counts[23] > 40


def test_an_extension_is_inserted_where_replaced_knots_cost_too_much(two: Results) -> None:
    assert two["inserted"]["inserted"] == 1
    assert two["inserted"]["at"] == [(0, 3), (40, 6), (80, 50)]


def test_both_ranks_prune_what_one_process_prunes(one: Results, two: Results) -> None:
    assert two["pruned"]["widths"] == one["pruned"]["widths"] < [1, 6, 1]


@pytest.mark.parametrize("name", ["resumed adam", "resumed lbfgs"])
def test_a_resumed_run_ends_as_one_never_stopped_on_both_ranks(name: str, two: Results) -> None:
    assert two[name]["lost"] == 0.0


def test_fewer_samples_than_processes_are_refused_before_training(two: Results) -> None:
    assert two["one sample"]["error"] == (
        "1 rows of the train part are too few for 2 ranks: add rows or use fewer devices"
    )


# -- the command line -------------------------------------------------------------------------


TWO = ("--trainer.strategy", "ddp", "--trainer.devices", "2", "--trainer.accelerator", "cpu")
TABLE = (
    "--data=TableData",
    "--data.path=t.csv",
    "--data.inputs=[a]",
    "--data.targets=[y]",
)


@pytest.fixture(scope="module")
def trained(start_ranks: StartRanks, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A folder in which two processes have trained on a table with 61 rows, and what they said."""
    folder = tmp_path_factory.mktemp("cli")
    rows = [f"{i},{(i * i) % 17}" for i in range(61)]
    (folder / "t.csv").write_text("\n".join(["a,y", *rows, ""]))
    model = ("--model.hidden=[3]", "--trainer.max_epochs=4", "--adaptation.schedule=[3, 5]")
    ranks = start_ranks(2, "kanlit", "fit", *TABLE, *model, *TWO, folder=folder)
    return folder, together(ranks)


def test_each_line_is_printed_once(trained: Trained) -> None:
    _, ended = trained
    assert ended.returncode == 0, ended.stderr[-3000:]
    for words in (
        "relative L2:",
        "checkpoint:",
        "epoch 0: grids adapted",
        "epoch 2: grids adapted",
    ):
        assert (ended.stdout + ended.stderr).count(words) == 1, ended.stdout + ended.stderr


def test_predictions_of_two_processes_are_those_of_one_in_the_order_of_the_file(
    start_ranks: StartRanks, trained: Trained
) -> None:
    folder, _ = trained
    tables = []
    for ranks, more in ((1, ()), (2, TWO)):
        words = ("kanlit", "predict", *TABLE, "--ckpt_path=last", *more)
        ended = together(start_ranks(ranks, *words, folder=folder))
        assert ended.returncode == 0, ended.stderr[-3000:]
        assert ended.stdout.count("(61 rows)") == 1
        path = ended.stdout.split("predictions: ")[1].split(" (")[0]
        tables.append(pd.read_csv(folder / path))
    one, two = tables
    assert two["a"].tolist() == list(range(61))
    pd.testing.assert_frame_equal(one, two, rtol=0, atol=1e-5)


def test_an_error_on_all_ranks_is_printed_once(start_ranks: StartRanks, trained: Trained) -> None:
    folder, _ = trained
    words = ("fit", "--data=SyntheticData", "--data.samples=1", "--trainer.max_epochs=4", *TWO)
    ended = together(start_ranks(2, "kanlit", *words, folder=folder))
    assert ended.returncode == 2
    lines = [line for line in ended.stderr.splitlines() if "error" in line]
    few = "1 rows of the train part are too few for 2 ranks: add rows or use fewer devices"
    assert lines == [f"kanlit: error: {few}"]
    assert "Traceback" not in ended.stderr
