"""What every test runs under: one thread, fixed seeds, no network, no pictures in TensorBoard."""

from __future__ import annotations

import atexit
import os
import random
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

if "MPLCONFIGDIR" not in os.environ:  # before matplotlib is imported; subprocesses inherit it
    os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="kanlit-mpl-")
    atexit.register(shutil.rmtree, os.environ["MPLCONFIGDIR"], ignore_errors=True)
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

torch.set_num_threads(1)  # the tensors are small: a second thread costs more than it brings


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  scikit-learn and Lightning's seeding use the old generator
    torch.manual_seed(0)


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


@pytest.fixture(autouse=True)
def _blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures for TensorBoard are made but not drawn: half the time of a short run, seen by nobody.

    A picture that fails is a warning to a run anyway; who looks at them overrides this.
    """
    blank = np.zeros((3, 1, 1), np.uint8)
    monkeypatch.setattr("torch.utils.tensorboard.writer.figure_to_image", lambda *_, **__: blank)


@pytest.fixture(scope="session")
def quick_compiler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """g++ that leaves -O3 undone, which takes a minute; the gate's own install has done it."""
    path = tmp_path_factory.mktemp("compiler") / "quick-g++"
    path.write_text('#!/bin/sh\nexec g++ "$@" -O0\n')
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
