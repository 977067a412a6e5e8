"""The table of runs: whole rows, single keys, one writer."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kanlit.benchmark import Key, Results, Row
from kanlit.benchmark.results import locked
from kanlit.errors import ConfigurationError

HEADER = (
    "benchmark,task,density,recipe,seed,rel_l2,wall_s,adapt_s,epochs,params,grid_size,version,error,"
    "cross_entropy,accuracy,calibration_error"
)
ROW = Row("helmholtz", "(1,2)", "input", "sound", 3, 1 / 3, 61.5, 0.25, 5000, 607, 12, "0.1.0")
FAILED = Row("synthetic", "f1", "input", "sound", 42, version="0.1.0", error='E: "a", b')


def test_the_header_is_the_agreed_one(tmp_path: Path) -> None:
    Results(tmp_path)

    assert (tmp_path / "results.csv").read_text() == f"{HEADER}\n"


def test_rows_are_read_as_they_were_written_to_the_last_bit(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add(ROW)
    results.add(FAILED)

    again = Results(tmp_path)

    assert list(again.rows.values()) == [ROW, FAILED]
    assert (again.done(ROW.key), again.done(FAILED.key)) == (True, False)
    assert not again.done(Key("synthetic", "f1", "input", "sound", 43))


def test_a_run_that_failed_is_replaced_and_no_key_is_doubled(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for row in (FAILED, ROW, replace(FAILED, error="", rel_l2=0.5)):
        results.add(row)

    again = Results(tmp_path)

    assert len(again.rows) == 2
    assert again.rows[FAILED.key].rel_l2 == 0.5
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 3


def test_a_writer_killed_at_any_byte_leaves_the_rows_before_it(tmp_path: Path) -> None:
    results, path = Results(tmp_path), tmp_path / "results.csv"
    results.add(FAILED)
    before = path.read_bytes()
    results.add(ROW)
    after = path.read_bytes()

    for length in range(len(before), len(after)):
        path.write_bytes(after[:length])
        cut = Results(tmp_path)
        assert list(cut.rows) == [FAILED.key]
        cut.add(ROW)
        assert path.read_bytes() == after


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", ["its columns are a,b", "another folder"]),
        (f"{HEADER}\nsynthetic,f1,input,sound,x,,,,,,,,,,,\n", ["line 2", "not a row"]),
        (f"{HEADER}\nsynthetic,f1\n", ["line 2", "not a row"]),
        (f"{HEADER}\n" + 2 * "synthetic,f1,i,sound,1,,,,,,,,,,,\n", ["line 3", "earlier row"]),
    ],
)
def test_a_table_that_is_none_is_refused_and_kept(
    text: str, words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "results.csv").write_text(text)

    with pytest.raises(ConfigurationError) as info:
        Results(tmp_path)

    for word in words:
        assert word in str(info.value)
    assert (tmp_path / "results.csv").read_text() == text


def test_a_folder_has_one_writer_and_a_dead_one_lets_go(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from kanlit.benchmark.results import locked\n"
        "with locked(Path(sys.argv[1])): print('mine', flush=True); time.sleep(60)"
    )
    (tmp_path / "other.py").write_text(code)
    other = start(str(tmp_path / "other.py"), str(tmp_path))
    while other.said() != "mine\n":
        assert other.runs(), other.ended()
        time.sleep(0.01)

    with pytest.raises(ConfigurationError, match="another kanlit benchmark"), locked(tmp_path):
        pass
    other.send(signal.SIGKILL)
    other.ended()

    with locked(tmp_path):
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(ConfigurationError, match="choose another folder"),
        locked(tmp_path / "file"),
    ):
        pass
