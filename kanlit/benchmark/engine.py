"""Trains in processes of this machine. A process is reused, and replaced if it dies."""

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
"""Trains all runs and yields their outcomes in any order; closing the generator stops it."""

_TRIES = 2  # attempts at a run whose process dies
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerDiedError(RuntimeError):
    """The process of a run died at every attempt."""

    def __init__(self) -> None:
        super().__init__("its process was killed at every attempt: check the free memory")


def local_engine(jobs: int, threads: int) -> Engine:
    """Trains in processes of this machine.

    Each process has its own pool. If it dies (out of memory, killed), the affected run is known
    and no other is lost. That run is queued once more, behind the waiting ones.

    Args:
        jobs: Number of processes.
        threads: Threads per process.
    """

    def run_all(runs: Sequence[Run], train: Train) -> Generator[Outcome, None, None]:
        waiting, tries = deque(runs), Counter[Key]()
        idle = [_process(threads) for _ in range(min(jobs, len(runs)))]
        busy: dict[Future[Outcome], tuple[ProcessPoolExecutor, Run]] = {}
        orderly = False
        try:
            while waiting or busy:
                while waiting and idle:
                    process, run = idle[-1], waiting[0]
                    with _deferring_interrupts():
                        future = process.submit(train, run)
                    busy[future] = (idle.pop(), waiting.popleft())
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
                    except BrokenExecutor as error:  # the arguments cannot be unpickled
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
        initializer=_start,
        initargs=(os.getpid(),),
        env=dict.fromkeys(_THREAD_VARIABLES, str(threads)),
    )


@contextmanager
def _deferring_interrupts() -> Iterator[None]:
    """Processes started inside get no Ctrl-C, which a terminal sends to all of its processes.

    This process gets one that comes meanwhile at the end: ignoring it would lose it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where processes inherit no signals
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _replaced(process: ProcessPoolExecutor, threads: int) -> ProcessPoolExecutor:
    process.shutdown(wait=False, kill_workers=True)
    return _process(threads)


def _start(parent: int) -> None:
    """Initializes a process, which exits when its parent dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
    # As in kanlit fit: imported objects stay alive, so the garbage collector can skip them.
    gc.collect()
    gc.freeze()


def _exit_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
