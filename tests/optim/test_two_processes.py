"""Two processes take the steps of one that has all the rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

WORKER = Path(__file__).with_name("worker.py")
NAMES = ["regression", "uneven", "penalties", "find_unused", "few", "helmholtz"]

Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Results]:
    """Of one process and of two."""
    found = []
    environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "MASTER_PORT")}
    for processes in (1, 2):
        out = tmp_path_factory.mktemp("ranks") / "out.pt"
        ended = subprocess.run(
            [sys.executable, str(WORKER), str(out), str(processes)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr[-3000:]
        found.append(torch.load(out))
    one, two = found
    return one, two


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_end_where_one_does(name: str, results: tuple[Results, Results]) -> None:
    one, two = (result[name] for result in results)
    assert two["apart"] == 0.0
    torch.testing.assert_close(two["flat"], one["flat"], rtol=1e-9, atol=1e-9)
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-9)
    assert two["damping"] == pytest.approx(one["damping"], rel=1e-6)
    assert one["losses"][-1] < one["losses"][0]
