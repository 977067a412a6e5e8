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


def test_accuracy_gives_one_row_a_task_with_every_seed() -> None:
    printed = run(
        "accuracy.py", "--tasks", "f4", "--seeds", "42", "43", "--", "--trainer.max_epochs", "8"
    )

    (row,) = re.findall(r"^\| f4 \| (\S+) \| (\S+) (\S+) \| \S+ \|$", printed, re.MULTILINE)
    median, *each = map(float, row)
    assert min(each) <= median <= max(each)


def test_overhead_compares_the_same_cases() -> None:
    printed = run("overhead.py", "--epochs", "8", "--rounds", "1")

    rows = re.findall(r"^\| .* \| (\d\S*) \| (\d\S*) \| (\S+) \|$", printed, re.MULTILINE)
    assert len(rows) == 3
    for loop, whole, more in rows:
        assert abs(float(whole) - float(loop) - float(more)) < 0.02
