"""Tables are written as the suffix says, and places that cannot be written are refused first."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kanlit.errors import ConfigurationError
from kanlit.tables.writer import check_table_output, write_table

TABLE = pd.DataFrame({"a": [0.1, 2.0], "y": [1.5, -3.0], "outside": [False, True]})


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".CSV", ","), (".tsv", "\t")])
def test_text_has_the_separator_of_its_suffix(suffix: str, separator: str, tmp_path: Path) -> None:
    path = tmp_path / f"t{suffix}"
    write_table(TABLE, path)

    lines = [["a", "y", "outside"], ["0.1", "1.5", "false"], ["2.0", "-3.0", "true"]]
    assert path.read_text().splitlines() == [separator.join(line) for line in lines]


def test_parquet_keeps_types_and_digits(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    write_table(TABLE, path)

    pd.testing.assert_frame_equal(pd.read_parquet(path), TABLE)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("t.xlsx", r"ends in \.xlsx: name a file that ends in \.csv, \.tsv or \.parquet"),
        ("t", "has no suffix"),
        ("folder.csv", "is a folder"),
        ("file/t.csv", "cannot write .*a file exists where its folder would be"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=said) as caught:
        check_table_output(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_parquet_without_pyarrow_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kanlit.tables.writer.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install 'kanlit"):
        check_table_output(tmp_path / "t.parquet")
