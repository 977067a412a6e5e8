"""Data of classes: splits by class, labels as the user wrote them, and what is no class at all."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from kanlit.data import ClassTableData, ScikitData, stratified_split
from kanlit.data.base import Part
from kanlit.errors import ConfigurationError

PARTS: tuple[Part, ...] = ("train", "validate", "test")


def write(path: Path, labels: list[Any], header: str = "a,b,kind") -> Path:
    """A table of two inputs and a label."""
    rows = [f"{i},{(i * 7) % 11},{label}" for i, label in enumerate(labels)]
    path.write_text("\n".join([header, *rows, ""]))
    return path


def table(path: Path, **settings: Any) -> ClassTableData:
    return ClassTableData(str(path), ["a", "b"], "kind", **settings)


# -- the split ----------------------------------------------------------------------------------

COUNTS = {
    "balanced": [100, 100, 100],
    "unbalanced": [200, 17, 3],
    "rare": [50, 1, 2],
    "many classes": [3] * 40,
}


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS.keys())
@pytest.mark.parametrize(("validation", "test"), [(0.15, 0.15), (0.1, 0.3), (0.45, 0.45)])
def test_shares_are_disjoint_whole_and_have_the_classes_of_the_whole(
    counts: list[int], validation: float, test: float
) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels))]
    names = [str(number) for number in range(len(counts))]
    shares = stratified_split(labels, names, validation, test, seed=3)

    assert torch.equal(torch.cat(list(shares.values())).sort().values, torch.arange(len(labels)))
    train = torch.bincount(labels[shares["train"]], minlength=len(counts))
    assert int(train.min()) >= 1
    for number, count in enumerate(counts):
        for part, share in (("validate", validation), ("test", test)):
            drawn = int((labels[shares[part]] == number).sum())  # type: ignore[index]
            assert abs(drawn - share * count) <= 1.5  # a row of rounding, half for the share of it


def test_a_seed_fixes_the_split_and_another_changes_it() -> None:
    one, again, other = (ScikitData("iris", seed=seed).split() for seed in (0, 0, 1))

    assert all(torch.equal(one[part], again[part]) for part in PARTS)
    assert not torch.equal(one["test"], other["test"])


def test_digits_are_split_as_asked_with_a_tenth_of_each_class() -> None:
    data = ScikitData("digits", validation=0.1, test=0.3)
    labels, shares = data.rows()[1], data.split()

    assert [len(shares[part]) for part in PARTS] == [1078, 180, 539]
    whole = torch.bincount(labels) / len(labels)
    for share in shares.values():
        assert (torch.bincount(labels[share]) / len(share) - whole).abs().max() < 1 / len(share)


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "iris"])
def test_targets_are_the_classes_that_scikit_learn_has(name: Any) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    known = getattr(datasets, f"load_{name}")()
    data = ScikitData(name)
    data.setup("test")
    ((x, y),) = data.test_dataloader()

    rows = data.split()["test"].numpy()
    assert data.classes == tuple(map(str, known.target_names))
    torch.testing.assert_close(x, torch.tensor(known.data[rows]).float())
    assert torch.equal(y.sum(1), torch.ones(len(y)))
    assert y.argmax(1).tolist() == known.target[rows].tolist()


def test_scales_are_those_of_the_training_rows() -> None:
    data = ScikitData("digits")
    scales = data.standardization()
    x = data.rows()[0][data.split()["train"]]
    z = (x - scales.input_mean) / scales.input_std

    assert z.mean(0).abs().max() < 1e-12
    spread = z.square().mean(0)
    assert (spread - 1).abs()[spread > 0].max() < 1e-12  # some pixels are always blank


# -- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["red", "green", "blue"] * 9, ("blue", "green", "red")),
        ([10, 9, 1] * 9, ("1", "9", "10")),
        ([7, "07", "007"] * 9, ("007", "07", "7")),
        (["042", "007"] * 9, ("007", "042")),
        (["1.0", "0.0"] * 9, ("0.0", "1.0")),
        (["NA", "None", "yes"] * 9, ("NA", "None", "yes")),
        (["1", "2", "many"] * 9, ("1", "2", "many")),
        ([" a", "b ", "a"] * 9, ("a", "b")),
    ],
)
def test_classes_are_what_stands_in_the_column(
    labels: list[Any], classes: tuple[str, ...], tmp_path: Path
) -> None:
    data = table(write(tmp_path / "t.csv", labels))
    numbers = data.rows()[1]

    assert data.classes == classes
    assert data.out_features == len(classes)
    for label, number in zip(labels, numbers.tolist(), strict=True):
        assert classes[number] == str(label).strip()


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_whole_numbers_of_a_typed_format_are_integer_classes(suffix: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(18), "b": 1.5, "kind": [10.0, 9.0, 1.0] * 6})
    path = tmp_path / f"t.{suffix}"
    if suffix == "npz":
        np.savez(path, **{name: frame[name].to_numpy() for name in frame})  # type: ignore[arg-type]
    else:
        frame.to_parquet(path)

    assert table(path).classes == ("1", "9", "10")


def test_classes_that_are_given_have_the_order_in_which_they_are_given(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [0, 1, 2] * 9)
    data = table(path, classes=[2, 0, 1])

    assert data.classes == ("2", "0", "1")
    assert data.rows()[1].tolist() == [1, 2, 0] * 9


def test_prediction_with_given_classes_needs_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    data = table(path, classes=["no", "yes"])
    data.setup("predict")
    ((x,),) = data.predict_dataloader()

    assert torch.equal(x, Tensor([[1, 2], [3, 4]]))


def test_a_checkpoint_of_other_classes_is_refused() -> None:
    iris, wine = ScikitData("iris"), ScikitData("wine")
    iris.load_state_dict(ScikitData("iris").state_dict())

    with pytest.raises(ConfigurationError, match=r"classes are setosa, .* class_0"):
        wine.load_state_dict(iris.state_dict())


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        ([0.37, 1.2, 3] * 9, {}, r"'kind' of .* numbers such as 0.37, .* TableData"),
        (list(range(27)), {}, "27 different values in 27 rows, too many for classes.* TableData"),
        (["one"] * 27, {}, "only one class, 'one': add rows of at least one"),
        (["a", "", "b"] * 9, {}, "9 empty fields, the first in line 3: fill them in"),
        (["a", "b", "c"] * 9, {"classes": ["a", "b"]}, "label 'c', .* not in classes a, b"),
        (["01", "02"] * 9, {"classes": [1, 2]}, "'01', .*: add it to classes .in quotes, '01'"),
        (["a", "b"] * 9, {"classes": ["a", "b", "c"]}, "class 'c' has no training rows: add rows"),
        (["a", "b"] * 9, {"classes": ["a", "a"]}, "classes must be at least two different names"),
        (["a", "b"] * 9, {"classes": ["a"]}, "classes must be at least two different names"),
        (["a", "b"] * 2, {"validation": 0.1}, "4 rows of 2 classes leave none for validate"),
        (["a", "b"] * 9, {"validation": 1.5}, "validation must be a fraction .* got 1.5"),
        (["a", "b"] * 9, {"validation": 0.6, "test": 0.6}, "leave no rows for training"),
    ],
)
def test_a_column_or_a_setting_that_cannot_serve_is_one_line(
    labels: list[Any], settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "t.csv", labels)
    with pytest.raises(ConfigurationError, match=message) as caught:
        table(path, **settings).setup("fit")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: ClassTableData(path, ["a"], "sort"), "'sort' is not in .* a, b, kind"),
        (lambda path: ClassTableData(path, ["a", "kind"], "kind"), "both an input and a target"),
        (lambda path: ClassTableData(path + "x", ["a"], "kind"), "does not exist: check data"),
        (lambda path: ScikitData("mnist"), "'mnist': choose one of digits, breast_cancer"),  # type: ignore[arg-type]
    ],
)
def test_a_name_that_is_not_there_is_one_line(
    make: Callable[[str], object], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "t.csv", ["a", "b"] * 9)
    with pytest.raises(ConfigurationError, match=message):
        make(str(path))


def test_without_scikit_learn_its_data_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ConfigurationError, match=r"run pip install 'kanlit\[scikit\]'"):
        ScikitData("iris")
