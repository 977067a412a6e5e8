"""Runs on a Dask cluster: what a lost worker had begun, another begins anew."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import kanlit
from kanlit.benchmark.engine import Engine, Train, WorkerDiedError
from kanlit.benchmark.matrix import Run
from kanlit.benchmark.training import Outcome, failure
from kanlit.errors import ConfigurationError

__all__ = ["SchedulerLostError", "dask_engine"]

_PATIENCE = 10.0  # seconds for a scheduler to answer


class SchedulerLostError(RuntimeError):
    """The scheduler is gone while runs were left."""


@contextmanager
def dask_engine(address: str) -> Iterator[Engine]:
    """Workers of a cluster, each a process of one thread; more may join at any time.

    Every run is a task of its own, so that losing a worker costs no more than to begin its run
    anew on another; one that brings down several workers in turn is given up.

    Args:
        address: The scheduler's, such as ``tcp://10.0.0.1:8786``.

    Raises:
        ConfigurationError: Dask is not installed, the scheduler does not answer, or a worker
            has another kanlit or several threads.
        SchedulerLostError: While it runs.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ConfigurationError(
            "--backend dask needs Dask, which is not installed: pip install 'kanlit[cluster]'"
        ) from None
    try:
        client: Any = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:  # a name that is no address is a ValueError
        raise ConfigurationError(
            f"no Dask scheduler answers at {address} ({' '.join(str(error).split())}): start one "
            f"with dask scheduler, or give its address to --scheduler"
        ) from None
    try:
        _check_workers(client, address)
        yield lambda runs, train: _run_all(client, runs, train)
    finally:
        client.close()


def _check_workers(client: Any, address: str) -> None:
    threads: dict[str, int] = client.nthreads()
    if not threads:
        print(f"kanlit: no worker at {address} yet, the runs wait for one", file=sys.stderr)
        return
    for worker, count in threads.items():
        if count > 1:
            raise ConfigurationError(
                f"worker {worker} has {count} threads, but a process trains one network at a "
                f"time: start workers with --nworkers {count} --nthreads 1"
            )
    mend = f"install kanlit {kanlit.__version__} on every machine of the cluster"
    try:
        versions: dict[str, str] = client.run(_version)
    except Exception as error:  # whatever importing it there may raise
        words = " ".join(str(error).split())
        raise ConfigurationError(f"a worker cannot import kanlit ({words}): {mend}") from None
    for worker, version in versions.items():
        if version != kanlit.__version__:
            raise ConfigurationError(f"worker {worker} has kanlit {version}: {mend}")


def _version() -> str:
    return kanlit.__version__


def _run_all(client: Any, runs: Sequence[Run], train: Train) -> Generator[Outcome, None, None]:
    from distributed import KilledWorker, as_completed

    begun = uuid.uuid4().hex  # results of an earlier matrix are not this one's
    futures = {
        client.submit(train, run, key=f"train-{begun}-{run.key.slug}", priority=-place): run
        for place, run in enumerate(runs)
    }
    try:
        for future in as_completed(list(futures), loop=client.loop):
            run = futures.pop(future)
            if future.status == "finished":
                yield future.result()
            elif future.status == "error":
                error = future.exception()
                died = isinstance(error, KilledWorker)
                yield failure(run, WorkerDiedError() if died else error)
            else:
                raise SchedulerLostError("the Dask scheduler is gone")
            future.release()
    finally:
        client.cancel(list(futures))
