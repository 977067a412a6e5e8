"""``kanlit predict --input``: a table and a checkpoint make predictions, nothing else is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from kanlit.checkpoints import read_checkpoint, restore_module

# Runs of a few epochs are warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

Run = Callable[[str], "tuple[int, str, str]"]

FIT = "fit --model.hidden '[3]' --trainer.max_epochs 4 --trainer.enable_progress_bar false"
TABLE = "--data TableData --data.path t.csv --data.inputs '[heat °C, b]' --data.targets '[y, z]'"
LAST = "lightning_logs/version_0/checkpoints/last.ckpt"


@pytest.fixture
def folder(trained_once: Callable[..., Path]) -> Path:
    """A scratch folder with a table, a run trained on it, and tables to predict."""
    rows = [f"{i},{(i * 7) % 11},{i + (i * 7) % 11},{i * i}" for i in range(60)]
    folder = trained_once("run-to-predict", ["heat °C,b,y,z", *rows], f"{FIT} {TABLE}")
    # In another order, with a column that is not the network's; 99 is outside the range.
    (folder / "new.csv").write_text("b,who,heat °C\n3,Ann,17.3\n4.25,Bob,99\n3,Cid,20\n")
    (folder / "lacks.csv").write_text("b,heat\n3,17\n")
    (folder / "nan.csv").write_text("b,heat °C\n3,17\n4,\n")
    return folder


def test_a_table_is_predicted_from_a_checkpoint_alone(folder: Path, command_line: Run) -> None:
    (folder / "t.csv").unlink()
    status, output, error = command_line(f"predict --ckpt_path {LAST} --input new.csv")

    assert (status, error) == (0, "")
    assert output == "predictions: predictions.csv (3 rows, 1 outside the training range)\n"
    table = pd.read_csv(folder / "predictions.csv")
    assert list(table.columns) == [
        *("b", "who", "heat °C", "y_predicted", "z_predicted"),
        *(f"{name}_{part}" for name in "yz" for part in ("std", "lower", "upper")),
        "outside",
    ]
    assert table["heat °C"].tolist() == [17.3, 99, 20]
    assert table["who"].tolist() == ["Ann", "Bob", "Cid"]
    assert table["outside"].tolist() == [False, True, False]
    path = folder / LAST
    module = restore_module(read_checkpoint(path), path)
    expected = module(torch.tensor([[17.3, 3], [99, 4.25], [20, 3]], dtype=torch.float64))
    np.testing.assert_allclose(table[["y_predicted", "z_predicted"]], expected, rtol=1e-6)


def test_it_predicts_what_the_data_module_has_predicted(folder: Path, command_line: Run) -> None:
    _, output, _ = command_line(f"predict {TABLE} --ckpt_path last")
    (line,) = [line for line in output.splitlines() if line.startswith("predictions: ")]
    status, _, error = command_line("predict --ckpt_path last --input t.csv --output out/p.tsv")

    assert status == 0, error
    before = pd.read_csv(folder / line.split()[1])
    table = pd.read_csv(folder / "out" / "p.tsv", sep="\t")
    pd.testing.assert_frame_equal(table[before.columns], before, check_dtype=False)
    assert not before["outside"].all()


def test_errors_are_printed_where_the_table_has_targets(folder: Path, command_line: Run) -> None:
    rows = ["007,2,3.5,5,9", "008,1,4,,", "009,3,1.25,7,8"]
    (folder / "new.csv").write_text("\n".join(["id,b,heat °C,y,z", *rows, ""]))
    status, output, error = command_line("predict --ckpt_path last --input new.csv")

    assert (status, error) == (0, "")
    table = pd.read_csv(folder / "predictions.csv", dtype={"id": str})
    assert table["id"].tolist() == ["007", "008", "009"]  # as it stands in the file
    known = table.dropna()
    for name in "yz":
        true, found = known[name], known[f"{name}_predicted"]
        rmse, mae = root_mean_squared_error(true, found), mean_absolute_error(true, found)
        expected = (
            f"errors of {name}: R² {r2_score(true, found):.4f}, RMSE {rmse:.4g}, MAE {mae:.4g}"
        )
        assert expected in output.splitlines()
    assert "rows with targets: 2 of 3" in output
    (folder / "new.csv").write_text("b,heat °C,y,z\n3,17,one,2\n")
    status, output, _ = command_line("predict --ckpt_path last --input new.csv")
    assert status == 0
    assert "errors: none, column 'y' of new.csv is not a number" in output


def test_best_is_found_under_the_root_that_is_named(folder: Path, command_line: Run) -> None:
    (folder / "runs").mkdir()
    (folder / "lightning_logs").rename(folder / "runs" / "lightning_logs")
    words = "predict --ckpt_path best --input new.csv"

    assert command_line(f"{words} --trainer.default_root_dir runs")[0] == 0
    status, _, error = command_line(words)
    assert status == 2
    assert "no best checkpoint under lightning_logs: train one first" in error


def test_the_solution_of_an_equation_is_predicted_by_its_coordinates(
    command_line: Run, tmp_path: Path
) -> None:
    assert command_line(f"{FIT} --data HelmholtzData --data.points_per_axis 6")[0] == 0
    (tmp_path / "points.csv").write_text("x2,x1\n1,-1\n0.5,1.5\n")
    status, output, error = command_line("predict --ckpt_path last --input points.csv")

    assert status == 0, error
    assert "(2 rows, 1 outside the training range)" in output
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert list(table.columns) == ["x2", "x1", "u_predicted", "outside"]
    assert table["x1"].tolist() == [-1, 1.5]


def test_bad_words_and_bad_tables_are_one_line_and_write_nothing(
    folder: Path, command_line: Run
) -> None:
    content = torch.load(folder / LAST, weights_only=True)
    torch.save({**content, "kanlit": {**content["kanlit"], "columns": None}}, folder / "old.ckpt")
    last, new = "predict --ckpt_path last", "--input new.csv"
    bad = {
        last: "predict needs --input TABLE, or --config or --data",
        f"predict {new}": "predict needs a checkpoint",
        f"{last} --output p.csv": "predict needs --input TABLE",
        f"{last} {new} --config c.yaml": "--config c.yaml is not needed",
        f"{last} --input none.csv": "no file none.csv: check --input",
        f"{last} --input .": "is a folder",
        f"{last} --input lacks.csv": "did you mean 'heat'?",
        f"{last} --input nan.csv": "column 'heat °C' of nan.csv has 1 missing or NaN",
        f"{last} {new} --output p.xlsx": "ends in .xlsx",
        f"{last} {new} --output lightning_logs": "is a folder",
        f"{last} {new} --output new.csv": "is the input file itself",
        f"{last} {new} --output t.csv/p.csv": "cannot write",
        f"predict --ckpt_path none.ckpt {new}": "none.ckpt does not exist",
        f"predict --ckpt_path t.csv {new}": "t.csv is not a checkpoint",
        f"predict --ckpt_path old.ckpt {new}": "old.ckpt has no column names",
    }
    before = sorted(folder.rglob("*"))
    for command, said in bad.items():
        status, output, error = command_line(command)
        assert (status, output, error.count("\n")) == (2, "", 1), error
        assert error.startswith("kanlit: error: ")
        assert said in error
    assert sorted(folder.rglob("*")) == before


def test_help_explains_both_ways_to_predict(command_line: Run) -> None:
    status, table, _ = command_line("predict --input --help")
    assert status == 0
    assert "predict --ckpt_path last --input new.csv --output predictions.csv" in table
    status, data, _ = command_line("predict --help")
    assert status == 0
    assert "kanlit predict --ckpt_path FILE --input TABLE" in " ".join(data.split())
    assert "--data" in data
