"""Runs on the cores of this machine, in processes that outlive a run and may die without harm."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager

from joblib.externals.loky import ProcessPoolExecutor  # type: ignore[import-untyped]
from joblib.externals.loky.process_executor import (  # type: ignore[import-untyped]
    TerminatedWorkerError,
)

from kanlit.benchmark.matrix import Run
from kanlit.benchmark.results import Key
from kanlit.benchmark.training import Outcome, failure

__all__ = ["Engine", "WorkerDiedError", "local_engine"]

Train = Callable[[Run], Outcome]
Engine = Callable[[Sequence[Run], Train], Generator[Outcome, None, None]]
"""Makes all runs and gives what came of each, in whatever order; closing it ends them."""

_TRIES = 2  # of a run whose process dies under it
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerDiedError(RuntimeError):
    """The process of a run ended under it, each time it was tried."""

    def __init__(self) -> None:
        super().__init__("its process was killed each time it was tried; is there enough memory?")


def local_engine(jobs: int, threads: int) -> Engine:
    """Processes of this machine.

    Each has a pool to itself, so that one that dies (out of memory, killed) is known by its run
    and takes no other with it: the run is tried once more, after those that wait.

    Args:
        jobs: Processes at a time.
        threads: Threads of each.
    """

    def run_all(runs: Sequence[Run], train: Train) -> Generator[Outcome, None, None]:
        waiting, tries = deque(runs), Counter[Key]()
        idle = [_process(threads) for _ in range(min(jobs, len(runs)))]
        busy: dict[Future[Outcome], tuple[ProcessPoolExecutor, Run]] = {}
        orderly = False
        try:
            while waiting or busy:
                while waiting and idle:
                    process, run = idle.pop(), waiting.popleft()
                    with _deaf_to_interrupts():
                        future = process.submit(train, run)
                    busy[future] = (process, run)
                for future in wait(busy, return_when=FIRST_COMPLETED).done:
                    process, run = busy.pop(future)
                    try:
                        outcome = future.result()
                    except TerminatedWorkerError:
                        process = _replaced(process, threads)
                        tries[run.key] += 1
                        if tries[run.key] < _TRIES:
                            waiting.append(run)
                            idle.append(process)
                            continue
                        outcome = failure(run, WorkerDiedError())
                    except BrokenExecutor as error:  # what was sent cannot be loaded
                        process = _replaced(process, threads)
                        outcome = failure(run, error.__cause__ or error)
                    except Exception as error:
                        outcome = failure(run, error)
                    idle.append(process)
                    yield outcome
            orderly = True
        finally:
            for process in [*idle, *(process for process, _ in busy.values())]:
                process.shutdown(wait=orderly, kill_workers=not orderly)

    return run_all


def _process(threads: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        max_workers=1,
        initializer=_begin,
        initargs=(os.getpid(),),
        env=dict.fromkeys(_THREAD_VARIABLES, str(threads)),
    )


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """A process that starts within it heeds no Ctrl-C, which reaches all of a terminal's."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can say so, and only there does Ctrl-C arrive
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _replaced(process: ProcessPoolExecutor, threads: int) -> ProcessPoolExecutor:
    process.shutdown(wait=False, kill_workers=True)
    return _process(threads)


def _begin(parent: int) -> None:
    """Readies a process, which goes when its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    # What the imports have made stays; as in kanlit fit, the collector need not walk it.
    gc.collect()
    gc.freeze()


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
