"""Two processes take the steps of one that has all the rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

WORKER = Path(__file__).with_name("worker.py")
NAMES = ["regression", "uneven", "penalties", "find_unused", "few", "helmholtz"]

Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def results(start_ranks: Callable[..., Any], once: Callable[..., Path]) -> tuple[Results, Results]:
    """Of one process and of two."""

    def results_of(processes: int) -> Results:
        def train(out: Path) -> None:
            for each in start_ranks(processes, str(WORKER), str(out), str(processes)):
                ended = each.ended()
                assert ended.returncode == 0, ended.stderr[-3000:]

        found: Results = torch.load(once(f"stepped-by-{processes}.pt", train))
        return found

    return results_of(1), results_of(2)


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_end_where_one_does(name: str, results: tuple[Results, Results]) -> None:
    one, two = (result[name] for result in results)
    assert two["apart"] == 0.0
    torch.testing.assert_close(two["flat"], one["flat"], rtol=1e-9, atol=1e-9)
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-9)
    assert two["damping"] == pytest.approx(one["damping"], rel=1e-6)
    assert one["losses"][-1] < one["losses"][0]
