"""Classification from the command line, from training to predictions under the user's labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

# Runs of a few epochs are warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

CommandLine = Callable[[str], tuple[int, str, str]]
SHORT = "--model.hidden '[4]' --adaptation.schedule '[3, 4]' --trainer.enable_progress_bar false"
TABLE = "--data ClassTableData --data.path t.csv --data.inputs '[a, b]' --data.label kind"


def write_table(path: Path) -> None:
    """Two inputs, and a class that the first one decides."""
    rows = [f"{i % 17},{i % 5},{'low' if i % 17 < 8 else 'high'}" for i in range(90)]
    path.write_text("\n".join(["a,b,kind", *rows, ""]))


def test_digits_from_training_to_predictions(command_line: CommandLine, tmp_path: Path) -> None:
    words = f"--data ScikitData --data.name digits {SHORT}"
    status, printed, error = command_line(
        f"fit {words} --trainer.max_epochs 12 --trainer.check_val_every_n_epoch 4"
    )
    assert status == 0, error
    found = dict(re.findall(r"^([a-zA-Z ]+): (.+)$", printed, re.MULTILINE))
    assert 0.5 < float(found["accuracy"]) <= 1
    assert found["grid size"] == "G = 4, degree 3"
    assert (tmp_path / found["checkpoint"]).with_name("best.ckpt").is_file()

    status, printed, error = command_line(f"test {words} --ckpt_path best")
    assert status == 0, error
    for metric in ("accuracy", "f1", "calibration_error", "loss"):
        assert f"test/{metric}" in printed

    status, printed, error = command_line(f"predict {words} --ckpt_path last")
    assert status == 0, error
    (path,) = tmp_path.rglob("predictions.csv")
    table = pd.read_csv(path)
    p = table[[f"probability_{digit}" for digit in range(10)]]
    assert (p.sum(axis=1) - 1).abs().max() < 1e-5
    assert (p.to_numpy().argmax(1) == table["class_predicted"]).all()


def test_a_table_s_classes_are_predicted_under_their_names(
    command_line: CommandLine, tmp_path: Path
) -> None:
    write_table(tmp_path / "t.csv")
    status, printed, error = command_line(f"fit {TABLE} {SHORT} --trainer.max_epochs 60")
    assert status == 0, error
    assert re.search(r"^accuracy: \d\.\d{4}$", printed, re.MULTILINE)

    (tmp_path / "new.csv").write_text("a,b\n0,1\n16,2\n")  # no labels, so the classes are named
    new = TABLE.replace("t.csv", "new.csv") + " --data.classes '[high, low]'"
    status, _, error = command_line(f"predict {new} --model.hidden '[4]' --ckpt_path last")
    assert status == 0, error
    (path,) = tmp_path.rglob("predictions.csv")
    table = pd.read_csv(path)
    columns = ["a", "b", "kind_predicted", "probability_high", "probability_low", "outside"]
    assert list(table) == columns
    assert table["kind_predicted"].tolist() == ["low", "high"]

    alone = "predict --ckpt_path last --input new.csv --output alone.csv"
    status, _, error = command_line(alone)
    assert status == 0, error
    again = pd.read_csv(tmp_path / "alone.csv")
    pd.testing.assert_frame_equal(again, table, check_dtype=False)

    # In another order the outputs would stand for other classes.
    swapped = new.replace("[high, low]", "[low, high]")
    status, _, error = command_line(f"predict {swapped} --model.hidden '[4]' --ckpt_path last")
    assert status == 2
    assert "the checkpoint was trained with classes high, low" in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--data ScikitData --model.optimizer LevenbergMarquardt", "use torch.optim.Adam or"),
        ("--data SyntheticData --model ClassificationModule", "at least 2 classes, got 1 output"),
        ("--data ScikitData --data.name mnist", "digits"),
        (TABLE.replace("label kind", "label a").replace("[a, b]", "[b]"), ""),
        (TABLE.replace("label kind", "label weight"), "'weight' is not in t.csv"),
    ],
)
def test_what_cannot_be_classified_is_one_line(
    words: str, message: str, command_line: CommandLine, tmp_path: Path
) -> None:
    write_table(tmp_path / "t.csv")
    status, _, error = command_line(f"fit {words} --trainer.max_epochs 2")
    if not message:  # a column of integers with rows enough is one of classes
        assert status == 0, error
        return
    assert status == 2
    (line,) = [line for line in error.splitlines() if line.startswith("kanlit: error: ")]
    assert message in line
