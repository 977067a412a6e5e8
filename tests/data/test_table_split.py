"""Rows train, validate and test by share, by a column, or by the file that they lie in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kanlit.data import TableData
from kanlit.data.split import reorder
from kanlit.errors import ConfigurationError

LABELS = ["train", "Validation", "test", " training ", "TRAIN", "val", "valid", "testing"]


def write(path: Path, rows: list[str], header: str = "a,y,part") -> str:
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def parts(data: TableData) -> dict[str, list[float]]:
    """The inputs of each part."""
    data.setup("fit")
    data.setup("test")
    loaders = {
        "train": data.train_dataloader(),
        "validate": data.val_dataloader(),
        "test": data.test_dataloader(),
    }
    found: dict[str, list[float]] = {}
    for part, loader in loaders.items():
        batches: list[Any] = list(loader)
        found[part] = torch.cat([x for x, _ in batches])[:, 0].tolist()
    return found


@pytest.fixture
def labelled(tmp_path: Path) -> str:
    return write(tmp_path / "t.csv", [f"{i},{i * i},{LABELS[i % 8]}" for i in range(16)])


def test_a_column_says_the_part_of_each_row(labelled: str) -> None:
    found = parts(TableData(labelled, ["a"], ["y"], split_column="part"))
    assert found == {
        "train": [0, 3, 4, 8, 11, 12],
        "validate": [1, 5, 6, 9, 13, 14],
        "test": [2, 7, 10, 15],
    }


def test_files_say_the_part_of_their_rows(tmp_path: Path) -> None:
    paths = {
        name: write(tmp_path / f"{name}.csv", [f"{i},{-i}" for i in range(start, start + 5)], "a,y")
        for start, name in enumerate(["main", "validation", "test"])
    }
    whole = TableData(
        paths["main"],
        ["a"],
        ["y"],
        validation_path=paths["validation"],
        test_path=paths["test"],
    )
    assert parts(whole) == {
        "train": [0, 1, 2, 3, 4],
        "validate": [1, 2, 3, 4, 5],
        "test": [2, 3, 4, 5, 6],
    }
    shared = parts(TableData(paths["main"], ["a"], ["y"], validation=0.4, test_path=paths["test"]))
    assert [len(share) for share in shared.values()] == [3, 2, 5]
    assert sorted(shared["train"] + shared["validate"]) == [0, 1, 2, 3, 4]


def test_what_is_wrong_with_a_test_file_shows_before_training(tmp_path: Path) -> None:
    main = write(tmp_path / "t.csv", [f"{i},{-i}" for i in range(20)], "a,y")
    data = TableData(main, ["a"], ["y"], test_path=str(tmp_path / "none.csv"))
    words = r"none\.csv does not exist: check data\.test_path"
    with pytest.raises(ConfigurationError, match=words):
        data.setup("fit")


def test_parts_are_views_of_one_table(labelled: str) -> None:
    data = TableData(labelled, ["a"], ["y"], batch_size=2)
    data.setup("fit")
    data.setup("test")
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    storages = {x.untyped_storage().data_ptr() for x, _ in (loader_rows(each) for each in loaders)}
    assert len(storages) == 1


def loader_rows(loader: Any) -> list[torch.Tensor]:
    return list(loader._rows.values())


def test_another_precision_reads_the_digits_again(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [f"{i / 3},{i}" for i in range(30)], "a,y")
    data = TableData(path, ["a"], ["y"])
    single = parts(data)["train"]
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        precision="64-true",
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
        global_rank=0,
        world_size=1,
        overfit_batches=0.0,
    )
    double = parts(data)["train"]
    assert single != double
    torch.testing.assert_close(torch.tensor(single), torch.tensor(double), rtol=1e-6, atol=0)
    assert {round(3 * value, 12) for value in double} <= {float(i) for i in range(30)}


def test_reordering_in_place_is_indexing() -> None:
    values = torch.randn(20, 3)
    order = torch.randperm(20)
    expected = values[order]
    reorder(values, order)
    assert torch.equal(values, expected)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1,2,train", "2,3,tarin"], "'part' .* has 'tarin' in line 3, .*: write one of train, "),
        (["1,2,train", "2,3,", "2,3,"], "'part' .* has 2 missing .* line 3"),
        (["1,2,0", "2,3,1"], "'part' .* has '0' in line 2"),
        (["1,2,train", "2,3,train", "1,1,val"], "'part' .* labels 0 rows test"),
        (
            ["1,2,train", "2,3,test", "1,1,val"],
            "'part' .* labels 1 rows train, but .* at least 2",
        ),
        (["1,2,train", "1,3,train", "2,1,val", "3,1,test"], "'a' .* is 1 in all 2 training rows"),
        (["1,2,train", "2,2,train", "2,1,val", "3,1,test"], "'y' .* is 2 in all 2 .*: choose"),
    ],
)
def test_a_column_of_parts_that_cannot_be_used_is_refused(
    tmp_path: Path, rows: list[str], message: str
) -> None:
    data = TableData(write(tmp_path / "t.csv", rows), ["a"], ["y"], split_column="part")
    with pytest.raises(ConfigurationError, match=message) as caught:
        data.setup("fit")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split_column": "a"}, "'a' is also an input or a target"),
        (
            {"split_column": "part", "test_path": "t.csv"},
            "'part' and test_path 't.csv' both define",
        ),
        ({"validation_path": "v.csv", "test": 1.0}, "test must be a fraction .* got 1.0"),
    ],
)
def test_splits_that_contradict_are_refused_at_construction(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TableData("t.csv", ["a"], ["y"], **changes)
