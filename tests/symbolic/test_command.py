"""``kanlit formula`` from a table to a formula, and what it says where it cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

# Lightning has not caught up with jsonargparse; short runs are warned of, and rightly.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

Command = Callable[[str], tuple[int, str, str]]

FIT = (
    "fit --data TableData --data.path t.csv --data.inputs '[a, b]' --data.targets '[z]' "
    "--model.optimizer LevenbergMarquardt --trainer.precision 64-true "
    "--adaptation.schedule '[6]' --trainer.max_epochs 30 --trainer.enable_progress_bar false"
)


@pytest.fixture
def table(tmp_path: Path) -> None:
    a, b = np.random.default_rng(0).uniform(1, 3, (2, 300))
    rows = [f"{p},{q},{r}" for p, q, r in zip(a, b, 2 * np.exp(-a) + 3 * b**2, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,z", *rows, ""]))


@pytest.mark.usefixtures("table")
def test_a_table_ends_as_its_formula_in_its_own_names(
    command_line: Command, tmp_path: Path
) -> None:
    assert command_line(f"{FIT} --model.hidden '[]'")[0] == 0

    status, output, error = command_line("formula last --latex --output f.json")

    assert status == 0, error
    assert "z = 3*b**2 + 2*exp(-a)" in output
    assert r"LaTeX: z = 3 b^{2} + 2 e^{- a}" in output
    assert "relative L2 on the test data: formula" in output
    written = json.loads((tmp_path / "f.json").read_text())
    assert [edge["function"] for edge in written["edges"]] == ["exp", "x^2"]
    assert written["relative_l2"]["formula"] < written["relative_l2"]["network"]


@pytest.mark.usefixtures("table")
def test_what_is_wrong_is_one_line_with_its_cure(command_line: Command, tmp_path: Path) -> None:
    status, _, error = command_line("formula last")
    assert (status, "train one first" in error) == (2, True)
    assert command_line(f"{FIT} --model.hidden '[3]'")[0] == 0
    (tmp_path / "other.ckpt").write_text("no checkpoint")

    for words, said in [
        ("last --max_edges 8", ["9 edges", "--max_edges 8", "prune"]),
        ("last --r2 2", ["--r2", "2", "0.99"]),
        ("last --output f.doc", ["f.doc", ".json"]),
        ("other.ckpt", ["other.ckpt", "not a checkpoint"]),
        ("nothing.ckpt", ["nothing.ckpt", "does not exist"]),
        ("", ["CHECKPOINT", "kanlit formula --help"]),
    ]:
        status, _, error = command_line(f"formula {words}")
        assert status == 2
        assert len(error.strip().splitlines()) == 1
        assert all(word in error for word in said), error


def test_classes_have_a_formula_of_each_logit(command_line: Command, tmp_path: Path) -> None:
    a = np.random.default_rng(0).uniform(1, 3, 120)
    rows = [f"{value},{'high' if value > 2 else 'low'}" for value in a]
    (tmp_path / "c.csv").write_text("\n".join(["a,kind", *rows, ""]))
    fit = (
        "fit --data ClassTableData --data.path c.csv --data.inputs '[a]' --data.label kind "
        "--model.hidden '[]' --trainer.max_epochs 30 --trainer.enable_progress_bar false"
    )
    status, _, error = command_line(fit)
    assert status == 0, error

    status, output, error = command_line("formula last")

    assert status == 0, error
    assert "logit of high = " in output
    assert "logit of low = " in output
    assert "softmax" in output
    (found,) = re.findall(r"relative L2 to the network: formula (\S+)", output)
    assert float(found) < 0.1  # what R² 0.99 of the edges allows
