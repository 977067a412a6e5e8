"""The commands behind the figures work; the figures themselves are measured, not tested."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def run(*arguments: str) -> str:
    """What a benchmark prints."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=BENCHMARKS, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_overhead_compares_the_same_cases() -> None:
    printed = run("overhead.py", "--epochs", "8", "--rounds", "1")

    rows = re.findall(r"^\| .* \| (\d\S*) \| (\d\S*) \| (\S+) \|$", printed, re.MULTILINE)
    assert len(rows) == 3
    for loop, whole, more in rows:
        assert abs(float(whole) - float(loop) - float(more)) < 0.02


def test_exact_curvature_is_exact_and_differences_are_not() -> None:
    printed = run("hessian.py", "--samples", "200", "--rounds", "1")

    rows = re.findall(r"^\| (\d+) \| (\w+) \| (\S+) \| \S+ \| \d+ \|$", printed, re.MULTILINE)
    assert [int(inputs) for inputs, *_ in rows] == [2, 2, 16, 16, 64, 64]
    for _, method, error in rows:
        assert (float(error) < 1e-5) == (method == "exact")


def test_epsilon_must_be_large_to_matter_beside_a_front_and_small_on_a_line() -> None:
    printed = run("epsilon_knots.py")

    found = re.findall(r"^\| (\S.*) \| (\S+) \| (\S+) \| (\d+)% \| (\S+) \|$", printed, re.M)
    widest = {(target, power, float(e)): float(w) for target, power, e, _, w in found}
    assert widest["tanh(50x)", "1", 1e-10] == widest["tanh(50x)", "1", 1e-2]
    assert widest["2x − 1", "1", 1e-10] > 1.5  # rounding is all the curvature that a line has
    assert widest["2x − 1", "1", 1e-1] < 1.05


def test_knots_wander_less_the_more_samples_place_them() -> None:
    arguments = ["--functions", "f2", "--samples", "16", "1000", "--draws", "5"]
    printed = run("knot_jitter.py", *arguments)

    rows = re.findall(r"^\| f2 \| [\w ]+ \| (\S+) \| (\S+) \|$", printed, re.MULTILINE)
    assert len(rows) == 3
    assert all(float(few) > 2 * float(many) for few, many in rows)


def test_a_residual_s_gradients_are_the_same_by_a_sweep_and_by_nested_autograd() -> None:
    printed = run("residual.py", "--repeats", "1", "--rounds", "1", "--grid-sizes", "4")

    rows = re.findall(
        r"^\| 4 \| (\w+) \| (kernel|torch) \| (?:\S+ \| ){3}(\S+) \|$", printed, re.MULTILINE
    )
    assert [(kind, path) for kind, path, _ in rows] == [
        (kind, path) for kind in ("float32", "float64") for path in ("kernel", "torch")
    ]
    for kind, _, apart in rows:
        assert float(apart) < (1e-4 if kind == "float32" else 1e-11)


def test_every_optimizer_trains_the_same_network_and_the_error_falls() -> None:
    printed = run("optimizers.py", "--tasks", "f2", "--seeds", "101", "--seconds", "1")

    rows = re.findall(r"^\| f2 \| (\S+) \| .* \| ([^|]+) \|$", printed, re.MULTILINE)
    assert [name for name, _ in rows] == [
        "LevenbergMarquardt",
        "torch-levenberg-marquardt",
        "L-BFGS",
        "Adam",
    ]
    lowest = {name: words for name, words in rows if words != "not installed"}
    assert {"LevenbergMarquardt", "L-BFGS", "Adam"} <= set(lowest)
    for words in lowest.values():
        assert 0 < float(words) < 0.9


def test_the_best_recipe_comes_to_the_papers_error() -> None:
    printed = run("seconds_to_error.py", "--tasks", "f2", "--seeds", "101")

    (row,) = re.findall(r"^\| f2 \| (\S+) \| (\S+) \| (\S+) \| \S+ \|$", printed, re.MULTILINE)
    error, best, paper = map(float, row)
    assert error == 1.0e-3
    assert 0 < best < float("inf")
    assert paper > 0
