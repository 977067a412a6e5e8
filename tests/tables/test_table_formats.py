"""The same numbers come out of a table in every format, whatever block they lie in."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kanlit.data import TableData
from kanlit.data.precision import PrecisionCheck
from kanlit.errors import ConfigurationError
from kanlit.tables import read_columns, read_table

FORMATS = ["csv", "tsv", "tab", "npz", "parquet", "pq"]
each_format = pytest.mark.parametrize("suffix", FORMATS)


def write(frame: pd.DataFrame, path: Path) -> str:
    """Writes a table in the format of the suffix; as NPZ each column is an array."""
    if path.suffix == ".npz":
        np.savez_compressed(path, **{name: frame[name].to_numpy() for name in frame})
    elif path.suffix in (".parquet", ".pq"):
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, sep="," if path.suffix == ".csv" else "\t")
    return str(path)


@pytest.fixture
def frame() -> pd.DataFrame:
    values = np.random.default_rng(0).standard_normal((50, 3))
    return pd.DataFrame(values, columns=["a", "b", "y"]).assign(n=range(50))


@each_format
def test_every_format_gives_the_same_numbers(
    suffix: str, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("delimited", "npz", "parquet"):
        monkeypatch.setattr(f"kanlit.tables.{module}.BLOCK", 7)
    path = write(frame, tmp_path / f"t.{suffix}")

    got = read_columns(path, ["y", "n", "a"])

    expected = torch.tensor(frame[["y", "n", "a"]].to_numpy())
    torch.testing.assert_close(got, expected, rtol=1e-15, atol=0)


@each_format
def test_the_last_column_of_a_group_may_come_before_the_first(
    suffix: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    path = write(frame, tmp_path / f"t.{suffix}")
    table = read_table(path, [["n", "a"], ["b"]], torch.float32)
    first, second = table.groups
    assert first.dtype == torch.float32
    assert torch.equal(first, torch.tensor(frame[["n", "a"]].to_numpy()).float())
    assert torch.equal(second, torch.tensor(frame[["b"]].to_numpy()).float())


@each_format
def test_every_format_trains_on_the_same_batches(
    suffix: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    batches = []
    for name in (suffix, "csv"):
        path = write(frame, tmp_path / f"t.{name}")
        data = TableData(path, ["a", "b"], ["y", "n"], batch_size=8)
        data.setup("fit")
        batches.append(list(data.train_dataloader()))
    for one, two in zip(*batches, strict=True):
        for a, b in zip(one, two, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f8", ">f8", "<f4", "<i2"])
def test_columns_of_an_array_of_two_dimensions_are_numbered(
    order: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kanlit.tables.npz.BLOCK", 4)
    values = np.arange(30).reshape(10, 3)
    x = np.array(values, dtype=kind, order=order)  # type: ignore[call-overload]
    np.savez(tmp_path / "t.npz", x=x, y=values[:, 0] - 0.5, scale=np.array(3.0))

    got = read_columns(str(tmp_path / "t.npz"), ["x3", "y", "x1"])

    expected = np.stack([values[:, 2], values[:, 0] - 0.5, values[:, 0]], 1)
    assert torch.equal(got, torch.tensor(expected))


def test_parquet_reads_nullable_categorical_and_dictionary_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, 2, 3], dtype="Int64"),
            "category": pd.Categorical([2.5, 2.5, 7.0]),
            "small": np.array([1, 2, 3], dtype="int8"),
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    got = read_columns(str(tmp_path / "t.parquet"), ["whole", "category", "small"])
    assert got.tolist() == [[1, 2.5, 1], [2, 2.5, 2], [3, 7, 3]]


def test_faults_are_counted_across_blocks_and_named_by_their_first_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kanlit.tables.delimited.BLOCK", 3)
    rows = ["1,2"] * 10
    rows[4] = rows[9] = ",2"
    rows[2] = "1,inf"
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows]))
    with pytest.raises(ConfigurationError, match=r"'a' .* has 2 missing .* in line 6"):
        read_columns(str(tmp_path / "t.csv"), ["a", "y"])
    rows[8] = "red,2"  # graver, so named though it comes later
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows]))
    with pytest.raises(ConfigurationError, match=r"'a' .* 'red' in line 10"):
        read_columns(str(tmp_path / "t.csv"), ["a", "y"])


def test_without_pyarrow_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'kanlit\[table\]'"):
        read_columns(str(tmp_path / "t.parquet"), ["a"])


@pytest.mark.parametrize("blocks", [1, 3, 20])
def test_rounding_of_blocks_is_that_of_the_whole(blocks: int) -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([1.0, 1e-3, 3e-4], dtype=torch.float64)
    values = 1000 + spread * torch.randn(60, 3, generator=generator, dtype=torch.float64)
    rounding = (values - values.float()).square().mean(0).sqrt() / values.std(0, correction=0)
    precision = PrecisionCheck(["a", "b", "c"])
    for block in values.chunk(blocks):
        precision.add(block)
    first = int((rounding > 1e-2).nonzero()[0])
    with pytest.raises(ConfigurationError, match=f"column '{'abc'[first]}' ranges from"):
        precision.check()
    precision = PrecisionCheck(["a"])
    for block in values[:, :1].chunk(blocks):
        precision.add(block)
    precision.check()
