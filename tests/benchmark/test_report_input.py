"""A report reads what the runner writes, and says in a line what it cannot read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kanlit.benchmark.recorder import Point
from kanlit.benchmark.report_input import read_curves, read_runs
from kanlit.benchmark.results import Key, Results, Row, curve_path
from kanlit.errors import ConfigurationError

GOOD = Row("helmholtz", "(1,2)", "Bent", "sound", 3, 0.1, 60.0, 0.6, 5000, 300, 12, "1.0")
FAILED = Row("helmholtz", "(1,2)", "Bent", "sound", 5, version="1.0", error="boom, and, more")
DIVERGED = Row("synthetic", "f1", "Bent", "sound", 42, np.nan, 9.0, 0.1, 2000, 100, 12, "1.0")


def write(folder: Path, *rows: Row) -> Path:
    results = Results(folder)
    for row in rows:
        results.add(row)
    return results.path


def write_curve(folder: Path, key: Key, *points: tuple[int, float, int, int]) -> None:
    path = curve_path(folder, key)
    path.parent.mkdir(exist_ok=True)
    lines = [",".join(Point._fields), *(",".join(map(str, p)) for p in points)]
    path.write_text("\n".join(lines) + "\n")


def test_runs_come_back_as_written_and_failures_as_infinite_errors(tmp_path: Path) -> None:
    write(tmp_path, GOOD, FAILED, DIVERGED)

    runs = read_runs(tmp_path)

    assert runs["criterion"].tolist() == [0.1, np.inf, np.inf]
    assert runs["seed"].tolist() == [3, 5, 42]
    assert runs["task"].tolist() == ["(1,2)", "(1,2)", "f1"]
    assert runs["error"].tolist() == ["", "boom, and, more", ""]
    assert runs.loc[0, ["wall_s", "adapt_s"]].tolist() == [60.0, 0.6]


def test_row_that_a_killed_run_left_half_written_is_no_run(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    path.write_text(path.read_text() + "helmholtz,(2,4),Bent,sound,3,0.")

    assert len(read_runs(tmp_path)) == 1


HEADER = "benchmark,task,density,recipe,seed,rel_l2,wall_s,adapt_s,epochs,params,grid_size,version"
MORE = "error,cross_entropy,accuracy,calibration_error"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"there is no .*results\.csv: run kanlit benchmark --out .* first"),
        (f"{HEADER},{MORE}\n", "contains no runs"),
        (f"{HEADER}\ns,f1,A,r,1,0.1,1,0,9,9,3,1\n", "not a table of this benchmark"),
        (f"{HEADER},{MORE}\ns,f1,A,r,x,0.1,1,0,9,9,3,1,,,,\n", "line 2, is not a row"),
    ],
)
def test_table_that_is_none_is_refused_in_one_line(
    tmp_path: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "results.csv").write_text(text)

    with pytest.raises(ConfigurationError, match=message) as caught:
        read_runs(tmp_path)
    assert "\n" not in str(caught.value)


def test_curve_is_the_median_over_seeds_at_the_epochs_of_all(tmp_path: Path) -> None:
    rows = [Row(*GOOD.key[:4], seed, 0.1, 1.0, 0.1, 8, 9, 3, "1") for seed in (1, 2, 3)]
    write(tmp_path, *rows, FAILED)
    # Straight lines of the logarithm, recorded at different epochs; the third ends early.
    for row, epochs, rate in zip(rows, [(0, 8), (0, 2, 8), (0, 4)], [1.0, 2.0, 3.0], strict=True):
        points = [(e, float(np.exp(-rate * e)), 3, int(e in (2, 4))) for e in epochs]
        write_curve(tmp_path, row.key, *points)
    write_curve(tmp_path, FAILED.key, (1, 1e9, 3, 1))  # a run that failed has no say

    curves = read_curves(tmp_path, read_runs(tmp_path))

    assert curves["epoch"].tolist() == [0, 2, 4, 8]
    expected = [1.0, np.exp(-4.0), np.exp(-8.0), (np.exp(-8.0) + np.exp(-16.0)) / 2]
    assert curves["loss"].tolist() == pytest.approx(expected)
    assert curves["adapted"].tolist() == [False, True, True, False]
    assert set(curves["task"]) == {"(1,2)"}
    assert set(curves["recipe"]) == {"sound"}


def test_runs_without_curves_have_none(tmp_path: Path) -> None:
    write(tmp_path, GOOD)

    curves = read_curves(tmp_path, read_runs(tmp_path))

    assert curves.empty
    assert {"benchmark", "epoch", "loss", "adapted"} <= set(curves.columns)


def test_curve_that_is_none_is_refused_by_its_name(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    path = curve_path(tmp_path, GOOD.key)
    path.parent.mkdir()
    path.write_text("epoch,error\n1,2\n")

    with pytest.raises(ConfigurationError, match=path.name):
        read_curves(tmp_path, read_runs(tmp_path))
