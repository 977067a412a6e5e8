"""A real Dask scheduler and two workers on loopback, one of them killed on the way."""

from __future__ import annotations

import csv
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from kanlit.benchmark import build_matrix, choose_tasks, dask_engine, densities_by_class, train
from kanlit.benchmark.cluster import SchedulerLostError
from kanlit.errors import ConfigurationError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning"),
]

SMALL = {"synthetic": {"trainer": {"max_epochs": 40}, "data": {"init_args": {"samples": 50}}}}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Cluster:
    """Processes of Dask on this machine, in a scratch folder."""

    def __init__(self, start: Callable[..., Any], folder: Path) -> None:
        self.start = start
        self.folder = folder
        self.processes: list[Any] = []
        self.address = f"tcp://127.0.0.1:{_free_port()}"
        place = ["--host", "127.0.0.1", "--port", self.address.rpartition(":")[2]]
        self.scheduler = self._start("scheduler", *place, "--no-dashboard")

    def worker(self, name: str, threads: int = 1) -> Any:
        return self._start(
            "worker", self.address, "--no-nanny", "--nthreads", str(threads), "--name", name,
            "--no-dashboard", "--local-directory", str(self.folder), "--host", "127.0.0.1",
        )  # fmt: skip

    def _start(self, program: str, *words: str) -> Any:
        process = self.start(f"distributed.cli.dask_{program}", *words, folder=self.folder)
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            if process.runs():
                process.send(signal.SIGKILL)
            process.ended()


@pytest.fixture
def cluster(start: Callable[..., Any], tmp_path: Path) -> Iterator[Cluster]:
    with closing(Cluster(start, tmp_path)) as made:
        yield made


def test_a_worker_that_is_killed_loses_no_row_and_doubles_none(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    lost = cluster.worker("lost")
    cluster.worker("kept")
    words = "benchmark --tasks f2,f4 --seeds 1-2 --recipe small.yaml --backend dask --out out"
    words += f" --scheduler {cluster.address}"
    process = cluster.start("kanlit", *words.split(), folder=tmp_path)
    table = tmp_path / "out" / "results.csv"
    deadline = time.monotonic() + 300
    while not (table.exists() and table.read_bytes().count(b"\n") > 2):
        assert time.monotonic() < deadline
        assert process.runs()
        time.sleep(0.02)
    lost.send(signal.SIGKILL)
    rows_then = table.read_bytes().count(b"\n") - 1
    ended = process.ended()

    assert ended.returncode == 0, ended.stderr
    assert rows_then < 8
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len({tuple(row.values())[:5] for row in rows}) == 8
    assert {row["error"] for row in rows} == {""}
    assert len(list((tmp_path / "out" / "curves").iterdir())) == 8
    (run,) = build_matrix(
        choose_tasks(words=["f4"]),
        densities_by_class(["CurvatureDensity"]),
        str(tmp_path / "small.yaml"),
        [2],
    ).runs
    (there,) = (row for row in rows if tuple(row.values())[1:5] == ("f4", *run.key[2:4], "2"))
    assert float(there["rel_l2"]) == train(run, 1).row.rel_l2  # to the last bit


def test_a_cluster_that_cannot_be_used_is_refused(cluster: Cluster) -> None:
    cluster.worker("wide", threads=2)
    deadline = time.monotonic() + 120
    while True:
        with pytest.raises(ConfigurationError) as info, dask_engine(cluster.address):
            raise ConfigurationError("no worker yet")
        if "no worker yet" not in str(info.value):
            break
        assert time.monotonic() < deadline

    assert "has 2 threads" in str(info.value)
    assert "--nthreads 1" in str(info.value)


def test_a_scheduler_that_goes_says_so(cluster: Cluster) -> None:
    runs = build_matrix(choose_tasks(words=["f4"]), densities_by_class(["InputDensity"])).runs

    with dask_engine(cluster.address) as engine:
        outcomes = engine(runs, train)  # no worker: they wait
        cluster.scheduler.send(signal.SIGKILL)
        with pytest.raises(SchedulerLostError):
            next(outcomes)


def test_no_scheduler_is_one_line_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kanlit.benchmark.cluster._PATIENCE", 1.0)
    for address in (f"tcp://127.0.0.1:{_free_port()}", "nonsense", "tcp://"):
        start = time.monotonic()
        with (
            pytest.raises(ConfigurationError, match="no Dask scheduler answers"),
            dask_engine(address),
        ):
            pass
        assert time.monotonic() - start < 20
