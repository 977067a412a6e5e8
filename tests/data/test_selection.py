"""Columns are chosen by name, by pattern, or all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from kanlit.data import ClassTableData, TableData
from kanlit.data.selection import select_columns
from kanlit.errors import ConfigurationError
from kanlit.tables import read_columns


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "t.csv").write_text("c2,a,c1,part,y,z1,z2\n1,2,3,4,5,6,7\n")
    return str(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("inputs", "targets", "chosen", "learnt"),
    [
        (["c1", "a"], ["y"], "c1 a", "y"),
        ("all", "y", "c2 a c1 z1 z2", "y"),
        ("c*", ["y"], "c2 c1", "y"),
        (["a", "c*", "a*"], ["y"], "a c2 c1", "y"),
        ("all", "z?", "c2 a c1 y", "z1 z2"),
        (["c1", "z1"], "*", "c1 z1", "c2 a y z2"),
        (("c?",), ["y", "z*"], "c2 c1", "y z1 z2"),
    ],
)
def test_patterns_take_what_is_not_named_elsewhere(
    inputs: Any, targets: Any, chosen: str, learnt: str, path: str
) -> None:
    selection = select_columns(path, inputs, targets, ["part"])
    assert " ".join(selection.inputs) == chosen
    assert " ".join(selection.targets) == learnt


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("d*", "'d.' is not in .*t.csv: .*its columns are c2, a, c1"),
        (["a", "a"], "inputs has column 'a' 2 times"),
        (["a", "y"], "'y' is both an input and a target"),
        ([], "inputs is empty"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(inputs: Any, message: str, path: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        select_columns(path, inputs, ["y"])


def test_a_column_with_a_star_in_its_name_is_itself(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("f*,f1,y\n1,2,3\n")
    assert select_columns(str(tmp_path / "t.csv"), ["f*"], ["y"]).inputs == ("f*",)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("name", [None, "id"])
def test_all_columns_are_those_of_a_frame_without_its_index(
    suffix: str, name: str | None, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "y": [5.0, 6.0]})
    frame.index = pd.Index([7, 8], name=name)
    path = str(tmp_path / f"t.{suffix}")
    if suffix == "csv":
        frame.rename_axis(None).to_csv(path)
    else:
        frame.to_parquet(path)
    assert select_columns(path, "all", ["y"]).inputs == ("a", "b")
    if suffix == "parquet" and name:
        assert read_columns(path, ["id", "b"]).tolist() == [[7, 3], [8, 4]]


def test_integer_names_of_a_frame_are_columns(tmp_path: Path) -> None:
    path = str(tmp_path / "t.parquet")
    values = np.arange(60.0).reshape(20, 3)
    pd.DataFrame(values).to_parquet(path)
    data = TableData(path, [1, 0], [2])
    data.setup("predict")
    ((x,),) = data.predict_dataloader()
    assert data.input_names == ("1", "0")
    assert torch.equal(x, torch.tensor(values[:, [1, 0]]).float())


def test_names_are_the_same_with_letters_composed_or_not_and_spaces_around(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(" e\u0301 ,y\n1,2\n3,4\n")
    assert read_columns(str(tmp_path / "t.csv"), ["\u00e9"]).tolist() == [[1], [3]]
    pd.DataFrame({"\u00e9 ": [1.0], "y": [2.0]}).to_parquet(tmp_path / "t.parquet")
    assert read_columns(str(tmp_path / "t.parquet"), ["y", "e\u0301"]).tolist() == [[2, 1]]


def test_classes_are_learnt_from_all_other_columns(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},{i % 5},{'ab'[i % 2]}" for i in range(30))
    (tmp_path / "t.csv").write_text(f"u,v,kind\n{rows}\n")
    data = ClassTableData(str(tmp_path / "t.csv"), "all", "kind")
    assert data.input_names == ("u", "v")
