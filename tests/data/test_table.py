"""Tables: split, standardisation, order of prediction, and an error for each way to be wrong."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from kanlit.data import Standardization, TableData
from kanlit.errors import ConfigurationError


def _write(folder: Path, text: str) -> str:
    path = folder / "table.csv"
    path.write_text(text)
    return str(path)


def _numbers(rows: int = 60, header: str = "a,b,c,y") -> str:
    lines = [f"{i},{100 + 0.5 * (i % 7)},7,{-3 * i + 1}" for i in range(rows)]
    return "\n".join([header, *lines]) + "\n"


def _only(loader: Any) -> tuple[Tensor, ...]:
    (batch,) = loader
    return batch


def test_shares_partition_the_rows_of_the_file(tmp_path: Path) -> None:
    data = TableData(_write(tmp_path, _numbers(60)), ["a"], ["y"], validation=0.2, test=0.1)
    data.setup("fit")
    data.setup("test")
    shares = [
        _only(loader)[0]
        for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    ]
    assert [len(share) for share in shares] == [42, 12, 6]
    assert sorted(torch.cat(shares)[:, 0].tolist()) == list(range(60))


def test_split_depends_on_the_seed_alone(tmp_path: Path) -> None:
    path = _write(tmp_path, _numbers())
    rows = []
    for seed in (0, 0, 1):
        data = TableData(path, ["a"], ["y"], seed=seed)
        data.setup("test")
        rows.append(_only(data.test_dataloader())[0])
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])


def test_batches_are_in_the_file_s_units_with_rows_kept_together(tmp_path: Path) -> None:
    data = TableData(_write(tmp_path, _numbers()), ["b", "a"], ["y"])
    data.setup("fit")
    x, y = _only(data.train_dataloader())
    torch.testing.assert_close(y[:, 0], -3 * x[:, 1] + 1)
    torch.testing.assert_close(x[:, 0], 100 + 0.5 * (x[:, 1] % 7))


def test_standardized_training_share_has_mean_zero_and_deviation_one(tmp_path: Path) -> None:
    data = TableData(_write(tmp_path, _numbers()), ["a", "b"], ["y"])
    scale = data.standardization()
    data.setup("fit")
    x, y = (tensor.double() for tensor in _only(data.train_dataloader()))
    z = torch.cat(
        [
            (x - scale.input_mean) / scale.input_std,
            (y - scale.target_mean) / scale.target_std,
        ],
        1,
    )
    zero, one = torch.zeros(3).double(), torch.ones(3).double()
    torch.testing.assert_close(z.mean(0), zero, atol=1e-6, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), one, atol=1e-6, rtol=0)
    assert scale.input_mean.dtype == scale.target_std.dtype == torch.float64


def test_standardization_of_huge_and_of_rounded_constant_columns_is_finite() -> None:
    x = torch.tensor([[1e200, 0.1], [-1e200, 0.1], [1e200, 0.1]], dtype=torch.float64)
    scale = Standardization.from_samples(x, x[:, :1])
    assert float(scale.input_std[0]) == pytest.approx(9.42809e199, rel=1e-5)
    assert scale.input_std[1] == 1


def test_prediction_takes_all_rows_in_order_and_needs_no_targets(tmp_path: Path) -> None:
    text = "b,a\n" + "".join(f"{i % 3},{i}\n" for i in range(25))
    data = TableData(_write(tmp_path, text), ["a", "b"], ["y"])
    data.setup("predict")
    (x,) = _only(data.predict_dataloader())
    assert x[:, 0].tolist() == list(range(25))
    assert x[:, 1].tolist() == [i % 3 for i in range(25)]


def test_numbers_survive_quotes_spaces_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = '\ufeff\n"a", y,note\n1, 2.5e0,"x, y"\n\n"-3",4,\n  5,6,z\n'
    data = TableData(_write(tmp_path, text), ["a", "y"], ["z"])
    data.setup("predict")
    (x,) = _only(data.predict_dataloader())
    assert x.tolist() == [[1, 2.5], [-3, 4], [5, 6]]


def test_column_that_float32_would_flatten_is_refused_but_float64_takes_it(tmp_path: Path) -> None:
    text = "time,y\n" + "".join(f"{1.7e9 + i},{i}\n" for i in range(30))
    data = TableData(_write(tmp_path, text), ["time"], ["y"])
    with pytest.raises(ConfigurationError, match=r"'time' ranges from 17.* float32 .* 64-true"):
        data.setup("fit")
    data.trainer = SimpleNamespace(precision="64-true")  # type: ignore[assignment]
    data.setup("fit")


GOOD = {"inputs": ["a", "b"], "targets": ["y"]}


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("", {}, "is empty"),
        ("\n\n", {}, "is empty"),
        ("a,b,c,y\n", {}, "header but no rows"),
        ("1,2,3,4\n5,6,7,8\n", {}, "has no header .*1,2,3,4"),
        ("a;b;y\n1;2;3\n", {}, "separated by ';'"),
        (
            _numbers(),
            {"inputs": ["a", "bb"]},
            "'bb' is not in .* mean 'b'.* columns are a, b, c, y",
        ),
        (_numbers(), {"targets": ["zzz"]}, "'zzz' is not in .*: its columns are a, b, c, y"),
        (_numbers(header="a,b,b,y"), {}, "'b' occurs 2 times"),
        ("a,b,y\n1,2,3\n1,two,3\n1,three,3\n", {}, "'b' .* is not a number: 'two' in line 3"),
        ("a,b,y\n\n1,True,3\n1,False,3\n", {}, "'b' .* is not a number: 'True' in line 3"),
        ("a,b,y\n1,2,3\n\n,2,3\n1,2,nan\n,2,3\n", {}, "'a' .* has 2 missing .* line 4"),
        ('n,a,b,y\n"q\nr",1,2,3\ns,1,inf,3\n', {}, "'b' .* has 1 infinite .* line 4"),
        ("a,b,y\n1,2,3\n1,2,3,4\n", {}, "line 3 .* 4 fields .* header has 3"),
        ("a,b,y\n1,2,3,4\n1,2,3,4\n", {}, "line 2 .* 4 fields .* header has 3"),
        ("a,b,y\n1,2,3\n1,2,3\n1,2,3\n", {}, "has 3 rows, .* add rows"),
        ("a,b,y\n1,1e300,3\n" + "1,2,3\n" * 40, {}, "'b' .* float32 cannot resolve"),
    ],
)
def test_table_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, text: str, changes: dict[str, Any], message: str
) -> None:
    data = TableData(_write(tmp_path, text), **{**GOOD, **changes})
    with pytest.raises(ConfigurationError, match=message) as caught:
        data.setup("fit")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": []}, "inputs is empty: name"),
        ({"targets": []}, "targets is empty: name"),
        ({"inputs": ["a", "a"]}, "inputs has column 'a' 2 times"),
        ({"inputs": ["a", "y"]}, "'y' is both an input and a target"),
        ({"validation": 0.0}, "validation .* got 0.0"),
        ({"test": 1.5}, "test .* got 1.5"),
        ({"validation": float("nan")}, "validation .* got nan"),
        ({"validation": 0.5, "test": 0.5}, "leave no rows for training"),
        ({"batch_size": 0}, "batch_size .* got 0"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_at_construction(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TableData("table.csv", **{**GOOD, **changes})


def test_file_that_cannot_be_read_is_refused_by_its_path(tmp_path: Path) -> None:
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\x89PNG\xff\xfe\x00")
    for path, message in [
        (tmp_path / "none.csv", "none.csv does not exist: check data"),
        (tmp_path, "is a folder"),
        (binary, "is not UTF-8 text"),
    ]:
        data = TableData(str(path), ["a"], ["y"])
        with pytest.raises(ConfigurationError, match=message):
            data.setup("fit")
