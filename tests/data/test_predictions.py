"""Predictions are a table under the user's names, in the user's order, written whole or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from kanlit.data import SyntheticData, TableData, TensorDataModule
from kanlit.data.predictions import predict_rows, predicted_rows, prediction_table
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN
from kanlit.scaling import Columns
from kanlit.tables.writer import write_table


@pytest.fixture
def data(tmp_path: Path) -> TableData:
    """A table whose columns are not in the order of the settings, with targets to predict."""
    path = tmp_path / "t.csv"
    rows = [f"{i / 3},{100 - i},{i * i},{-i}" for i in range(30)]
    path.write_text("\n".join(["b,year,a,y", *rows]) + "\n")
    module = TableData(str(path), ["a", "b"], ["y", "year"])
    module.setup("predict")
    return module


def write_predictions(data: TensorDataModule, predictions: Sequence[Tensor], path: Path) -> int:
    """The number of rows."""
    rows = predicted_rows(data, predictions)
    table = prediction_table(*rows, data.input_names, data.target_names, data.class_label)
    write_table(table, path)
    return len(table)


def predictions() -> Tensor:
    return torch.stack([torch.arange(30.0), torch.arange(30.0) / 7], dim=1)


def test_columns_are_the_inputs_then_the_predicted_targets(data: TableData, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    assert write_predictions(data, [predictions()], path) == 30
    table = pd.read_csv(path)
    assert list(table.columns) == ["a", "b", "y_predicted", "year_predicted"]
    assert len(table) == 30


def test_rows_are_in_the_order_of_the_user_s_file(data: TableData, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_predictions(data, [predictions()], path)
    written, given = pd.read_csv(path), pd.read_csv(data.path)
    for name in ("a", "b"):
        np.testing.assert_allclose(written[name], given[name], rtol=1e-6)
    expected = predictions().double().numpy()
    got = written[["y_predicted", "year_predicted"]]
    np.testing.assert_allclose(got, expected, rtol=1e-7)


@pytest.mark.parametrize("size", [1, 7, 30])
def test_batches_are_joined(data: TableData, tmp_path: Path, size: int) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    write_predictions(data, [predictions()], one)
    write_predictions(data, predictions().split(size), two)
    assert one.read_bytes() == two.read_bytes()


def test_inputs_of_several_batches_are_joined(
    data: TableData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    write_predictions(data, [predictions()], one)
    monkeypatch.setattr("kanlit.data.base._EVALUATION_ROWS", 7)
    write_predictions(data, predictions().split(7), two)
    assert one.read_bytes() == two.read_bytes()


def test_digits_of_double_precision_are_kept(data: TableData, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    values = torch.rand(30, 2, dtype=torch.float64)
    write_predictions(data, [values], path)
    got = pd.read_csv(path)[["y_predicted", "year_predicted"]]
    np.testing.assert_allclose(got, values.numpy(), rtol=1e-15)


def test_functions_have_names_too(tmp_path: Path) -> None:
    data = SyntheticData("f7", samples=10)
    data.setup("predict")
    count = write_predictions(data, [torch.zeros(200**2, 1)], tmp_path / "out.csv")
    assert count == 200**2
    assert list(pd.read_csv(tmp_path / "out.csv").columns) == ["x1", "x2", "y_predicted"]


def test_folders_are_made(data: TableData, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "out.csv"
    write_predictions(data, [predictions()], path)
    assert path.is_file()


def test_a_file_of_before_is_replaced(data: TableData, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old\n" * 1000)
    write_predictions(data, [predictions()], path)
    assert len(pd.read_csv(path)) == 30


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError("disk full"), ConfigurationError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_write_that_fails_leaves_the_file_of_before_and_nothing_else(
    data: TableData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
) -> None:
    folder = tmp_path / "results"
    path = folder / "out.csv"
    write_predictions(data, [predictions()], path)
    before = path.read_bytes()

    def fails(self: pd.DataFrame, where: Path, **_: object) -> None:
        Path(where).write_text("half a ta")
        raise error

    monkeypatch.setattr(pd.DataFrame, "to_csv", fails)
    with pytest.raises(raised):
        write_predictions(data, [predictions() + 1], path)
    assert path.read_bytes() == before
    assert list(folder.iterdir()) == [path]


def test_predictions_of_another_length_write_nothing(data: TableData, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    with pytest.raises(RuntimeError):
        write_predictions(data, [predictions()[:-1]], folder / "out.csv")
    assert not folder.exists() or not list(folder.iterdir())


# -- rows of any table, by a checkpoint's columns -----------------------------------------------

COLUMNS = Columns(
    ("a", "b"), ("y",), torch.tensor([0.0, -1.0]).double(), torch.tensor([1.0, 1.0]).double()
)


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_rows_predicted_in_parts_are_those_predicted_at_once(rows: int) -> None:
    network, x = KAN([2, 3, 1]), torch.rand(100, 2, dtype=torch.float64)
    at_once = network(x.float())
    seen: list[int] = []

    def predict(part: Tensor) -> Tensor:
        seen.append(len(part))
        return network(part)

    torch.testing.assert_close(predict_rows(predict, x, torch.float32, rows), at_once)
    assert max(seen) <= rows


def test_a_row_table_keeps_inputs_whole_and_flags_what_training_did_not_see() -> None:
    inputs = torch.tensor([[0.1, 1.0], [1.1, 0.0], [0.5, -1.0 - 1e-6]], dtype=torch.float64)
    outputs = torch.tensor([[0.1], [0.2], [0.3]])
    outside = COLUMNS.is_outside(inputs.float())
    table = prediction_table(inputs, outputs, ["a", "b"], ["y"], outside=outside)

    assert list(table.columns) == ["a", "b", "y_predicted", "outside"]
    assert table["outside"].tolist() == [False, True, True]
    assert table[["a", "b"]].to_numpy().tolist() == inputs.tolist()
    assert table["y_predicted"].dtype == np.float32


def test_an_input_named_outside_keeps_its_name() -> None:
    columns = Columns(("outside", "b"), ("y",), COLUMNS.low, COLUMNS.high)
    table = prediction_table(
        torch.zeros(1, 2),
        torch.zeros(1, 1),
        columns.inputs,
        columns.targets,
        outside=columns.is_outside(torch.zeros(1, 2)),
    )

    assert list(table.columns) == ["outside", "b", "y_predicted", "outside_training_range"]
