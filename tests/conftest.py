"""What every test runs under: one thread, fixed seeds, no network, no pictures in TensorBoard."""

from __future__ import annotations

import atexit
import gc
import itertools
import multiprocessing
import os
import random
import runpy
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

if "MPLCONFIGDIR" not in os.environ:  # before matplotlib is imported; subprocesses inherit it
    os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="kanlit-mpl-")
    atexit.register(shutil.rmtree, os.environ["MPLCONFIGDIR"], ignore_errors=True)
os.environ.setdefault("OMP_NUM_THREADS", "1")
if gc.isenabled():  # a quarter of the time of imports and of collecting, for what stays anyway
    gc.disable()

import numpy as np
import pytest
import torch
from filelock import FileLock

from kanlit.selection import search

torch.set_num_threads(1)  # the tensors are small: a second thread costs more than it brings


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  scikit-learn and Lightning's seeding use the old generator
    torch.default_generator.manual_seed(0)  # the CPU's alone, which takes no time


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Let tests reach this machine only; a process that a test starts is not held to it."""
    connect = socket.socket.connect

    def local_connect(self: socket.socket, address: tuple[str, int] | str) -> None:
        if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise RuntimeError(f"a test tried to connect to {address[0]}: tests use no network")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", local_connect)
        yield


@pytest.fixture(scope="session")
def _forked() -> dict[str, Any]:
    """What forked.py defines."""
    return runpy.run_path(str(Path(__file__).with_name("forked.py")))


@pytest.fixture(autouse=True)
def _blank_pictures(_forked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures of a run are empty: half the time of a short run, seen by nobody.

    A picture that fails is a warning to a run anyway; who looks at them overrides this.
    """
    _forked["blank_pictures"](monkeypatch.setattr)


@pytest.fixture(autouse=True)
def _quick_selection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sizes with one start each: most tests need some network on a table, not the best one."""
    monkeypatch.setattr(search, "_WIDTHS", ((), (2,)))
    monkeypatch.setattr(search, "_GRID_SIZES", (3,))
    monkeypatch.setattr(search, "_STARTS", 1)
    monkeypatch.setattr(search, "_LONG", 10)


@pytest.fixture(scope="session")
def quick_compiler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """g++ without -O3 and for one processor, the others being optional.

    The gate's own install compiles all of it, which takes a minute.
    """
    path = tmp_path_factory.mktemp("compiler") / "quick-g++"
    path.write_text('#!/bin/sh\ncase "$*" in *-mavx*) exit 1;; esac\nexec g++ "$@" -O0\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[int, str, str]]:
    """Runs ``kanlit`` with these words in a scratch folder: exit status, stdout, stderr."""
    from kanlit.cli import main

    monkeypatch.chdir(tmp_path)
    # A class of one's own is looked for in the folder where the command runs, nowhere else.
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", ".")])

    def run(words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kanlit", *shlex.split(words)])
        status = 0
        try:
            main()
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else int(bool(exit_.code))
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Makes a file once for all workers of pytest-xdist, and returns its path."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # the workers have a folder each in that of the session

    def once(name: str, make: Callable[[Path], None]) -> Path:
        path = folder / name
        with FileLock(f"{path}.lock"):
            if not path.exists():
                make(path)
        return path

    return once


@pytest.fixture
def trained_once(
    command_line: Callable[[str], tuple[int, str, str]],
    tmp_path: Path,
    once: Callable[[str, Callable[[Path], None]], Path],
) -> Callable[[str, Sequence[str], str], Path]:
    """Trains on a table, t.csv, once for all workers, and copies all to the folder of the test."""

    def trained_once(name: str, lines: Sequence[str], words: str) -> Path:
        def train(kept: Path) -> None:
            (tmp_path / "t.csv").write_text("\n".join([*lines, ""]))
            status, _, error = command_line(words)
            assert status == 0, error
            shutil.copytree(tmp_path, kept)

        return Path(shutil.copytree(once(name, train), tmp_path, dirs_exist_ok=True))

    return trained_once


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["kanlit.cli.app", "kanlit.cli.benchmark", "torch.utils.tensorboard", "distributed"]
)


@dataclass
class Started:
    """A process of a program, with what it has printed."""

    process: BaseProcess
    output: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def runs(self) -> bool:
        return self.process.is_alive()

    def send(self, blow: signal.Signals) -> None:
        os.kill(self.pid, blow)

    def said(self) -> str:
        """What it has printed so far."""
        return self.output.with_suffix(".out").read_text()

    def ended(self, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Waits for its end: exit status, stdout, stderr."""
        self.process.join(timeout)
        status = self.process.exitcode
        assert status is not None, "still running"
        out, err = (self.output.with_suffix(f".{name}").read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess((), status, out, err)


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Started]:
    """Starts a module or script in a process of its own that has kanlit's imports done.

    Its arguments are the program, its words, ``folder`` and variables of the environment.
    """
    outputs, numbers = tmp_path_factory.mktemp("output"), itertools.count()

    def start(program: str, *words: str, folder: Path = outputs, **variables: str) -> Started:
        output = outputs / str(next(numbers))
        for name in ("out", "err"):
            output.with_suffix(f".{name}").touch()
        outside = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "MASTER_PORT")}
        task = program, list(words), str(folder), str(output), {**outside, **variables}
        process = FORKS.Process(  # type: ignore[attr-defined]
            target=runpy.run_path,
            args=(str(Path(__file__).with_name("forked.py")),),
            kwargs={"init_globals": {"TASK": task}, "run_name": "__main__"},
        )
        process.start()
        return Started(process, output)

    return start


@pytest.fixture(scope="session")
def start_ranks(start: Callable[..., Started]) -> Callable[..., list[Started]]:
    """Starts a program once for each rank of a distributed run, as a launcher would."""

    def start_ranks(ranks: int, *words: str, **settings: Any) -> list[Started]:
        if ranks == 1:
            return [start(*words, **settings)]
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = str(found.getsockname()[1])
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0"}
        return [start(*words, **settings, **place, LOCAL_RANK=str(n)) for n in range(ranks)]

    return start_ranks
