"""Processes: each run is made once, whatever becomes of the process it is in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from kanlit.benchmark import (
    Key,
    Outcome,
    Row,
    Run,
    engine,
    local_engine,
    matrix,
    results,
    training,
)

# A process that starts knows no test module: what is sent of this one is sent whole.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def runs(*names: str) -> list[Run]:
    return [Run(Key("synthetic", name, "input", "sound", 1), ()) for name in names]


def answer(run: Run, folder: str) -> Outcome:
    """Does what the run's name says; leaves a mark of each try."""
    name = run.key.task
    with (Path(folder) / name).open("a") as file:
        file.write(f"{os.getpid()}\n")
    tries = len((Path(folder) / name).read_text().splitlines())
    if name == "killed" or (name == "killed_once" and tries == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "unspeakable":
        raise UnspeakableError(lambda: 0)
    time.sleep(0.05)
    return Outcome(Row(*run.key, rel_l2=float(os.environ["OMP_NUM_THREADS"])))


class UnspeakableError(Exception):
    """Takes two arguments to be made anew, and has one."""

    def __init__(self, one: object, two: object = None) -> None:
        super().__init__("cannot be sent")
        self.one = one


class Train:
    """A function of one argument that any process can load."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __call__(self, run: Run) -> Outcome:
        return answer(run, self.folder)


@pytest.fixture
def _light_processes() -> Iterator[None]:
    """The engine's own functions and classes are sent whole too: no process imports torch."""
    modules = engine, matrix, results, training
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    yield
    for module in modules:
        cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.usefixtures("_light_processes")
def test_a_process_that_dies_costs_its_run_alone(tmp_path: Path) -> None:
    names = ("a", "killed", "b", "killed_once", "unspeakable", "c")
    found = list(local_engine(2, 3)(runs(*names), Train(tmp_path)))

    errors = {outcome.row.task: outcome.row.error for outcome in found}
    assert Counter(o.row.task for o in found) == Counter(names)
    assert {name for name, error in errors.items() if error} == {"killed", "unspeakable"}
    assert "killed at every attempt" in errors["killed"]
    assert len((tmp_path / "killed").read_text().splitlines()) == 2
    assert {o.row.rel_l2 for o in found if not o.row.error} == {3.0}  # threads of each process


def test_nothing_to_do_starts_nothing(tmp_path: Path) -> None:
    assert list(local_engine(2, 1)([], Train(tmp_path))) == []


@pytest.mark.usefixtures("_light_processes")
def test_processes_are_used_again_and_end_when_the_engine_is_closed(tmp_path: Path) -> None:
    outcomes = local_engine(1, 1)(runs("a", "b", "c"), Train(tmp_path))
    next(outcomes), next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    processes = [int((tmp_path / name).read_text()) for name in ("a", "b")]

    assert processes[0] == processes[1]
    deadline = time.monotonic() + 20
    while _lives(processes[0]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(processes[0])


def _lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_an_interrupt_while_a_process_starts_is_not_lost_and_not_passed_on() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    blocked = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    found = []

    def struck() -> None:
        with engine._deferring_interrupts():
            found.append(subprocess.run([sys.executable, "-c", blocked], capture_output=True))
            # To this thread: another one of the test process could take it, at any later time.
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    try:
        with pytest.raises(KeyboardInterrupt):
            struck()
    finally:
        signal.signal(signal.SIGINT, before)
    assert found[0].stdout == b"True\n"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
