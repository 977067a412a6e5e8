"""Trains on a Dask cluster. If a worker is lost, another one repeats its run."""

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

_PATIENCE = 10.0  # seconds to wait for the scheduler


class SchedulerLostError(RuntimeError):
    """The scheduler was lost before all runs were done."""


@contextmanager
def dask_engine(address: str) -> Iterator[Engine]:
    """Trains on the workers of a Dask cluster, one single-threaded process per worker.

    Workers can join at any time. Each run is a Dask task, so losing a worker only repeats the run
    that it was training. A run that kills several workers in a row is recorded as failed.

    Args:
        address: Address of the scheduler, such as ``tcp://10.0.0.1:8786``.

    Raises:
        ConfigurationError: If Dask is not installed, the scheduler does not answer, or a worker
            has another version of kanlit or several threads.
        SchedulerLostError: If the scheduler is lost before all runs are done.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ConfigurationError(
            "the backend dask needs Dask, which is not installed: pip install 'kanlit[cluster]'"
        ) from None
    try:
        client: Any = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:  # ValueError: a malformed address
        raise ConfigurationError(
            f"no Dask scheduler answers at {address} ({' '.join(str(error).split())}): start one "
            f"with the command dask scheduler, or give another address"
        ) from None
    try:
        _check_workers(client, address)
        yield lambda runs, train: _run_all(client, runs, train)
    finally:
        client.close()


def _check_workers(client: Any, address: str) -> None:
    threads: dict[str, int] = client.nthreads()
    if not threads:
        print(f"kanlit: waiting for the first worker at {address}", file=sys.stderr)
        return
    for worker, count in threads.items():
        if count > 1:
            raise ConfigurationError(
                f"worker {worker} has {count} threads, but a process trains only one network at "
                f"a time: start the workers with --nworkers {count} --nthreads 1"
            )
    cure = f"install kanlit {kanlit.__version__} on every machine of the cluster"
    try:
        versions: dict[str, str] = client.run(_version)
    except Exception as error:  # importing kanlit there can raise anything
        words = " ".join(str(error).split())
        raise ConfigurationError(f"a worker cannot import kanlit ({words}): {cure}") from None
    for worker, version in versions.items():
        if version != kanlit.__version__:
            raise ConfigurationError(f"worker {worker} has kanlit {version}: {cure}")


def _version() -> str:
    return kanlit.__version__


def _run_all(client: Any, runs: Sequence[Run], train: Train) -> Generator[Outcome, None, None]:
    from distributed import KilledWorker, as_completed

    call = uuid.uuid4().hex  # in the keys, so that no results of an earlier call are returned
    futures = {
        client.submit(train, run, key=f"train-{call}-{run.key.slug}", priority=-place): run
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
                raise SchedulerLostError("lost the Dask scheduler")
            future.release()
    finally:
        client.cancel(list(futures))
