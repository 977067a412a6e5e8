"""Trains one run with the modules, data and callback of ``kanlit fit``."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import kanlit
from kanlit.benchmark.matrix import Run
from kanlit.benchmark.recorder import Point, RunRecorder
from kanlit.benchmark.results import Row
from kanlit.errors import ConfigurationError
from kanlit.runs.assembly import Assembly
from kanlit.runs.console import quiet_console
from kanlit.runs.exceptions import one_line
from kanlit.runs.isolation import preserved_settings

__all__ = ["Outcome", "failure", "train"]

# Seeds and modes are process-wide, so a process trains one network at a time.
_one_at_a_time = Lock()


@dataclass(frozen=True)
class Outcome:
    """Outcome of a run.

    Attributes:
        row: Its row in the table.
        curve: Its loss curve.
        warnings: Warnings of the training.
    """

    row: Row
    curve: tuple[Point, ...] = ()
    warnings: tuple[str, ...] = ()


def train(run: Run, threads: int, logs: Path | None = None) -> Outcome:
    """Trains and tests a network; an error is recorded in the row.

    A process trains several runs. Process-wide settings are restored after each, so that results
    are the same as in a separate process.

    Args:
        run: The run.
        threads: Number of threads.
        logs: Folder for TensorBoard logs and checkpoints; none are kept if omitted.
    """
    with _one_at_a_time, preserved_settings(threads), quiet_console() as said:
        try:
            row, curve = _train(run, logs)
        except (Exception, SystemExit) as error:
            row, curve = failure(run, error).row, ()
    gc.collect()  # a trainer and its module form a reference cycle
    return Outcome(row, curve, tuple(said))


def failure(run: Run, error: BaseException) -> Outcome:
    """The outcome of a run that ended with an error."""
    words = one_line(str(error))
    name = type(error).__name__
    return Outcome(
        Row(*run.key, version=kanlit.__version__, error=f"{name}: {words}" if words else name)
    )


def _train(run: Run, logs: Path | None) -> tuple[Row, tuple[Point, ...]]:
    words = run.arguments
    if logs is not None:
        words += ["--trainer.default_root_dir", str(logs)]
    assembly = Assembly(words, run=False, records=logs is not None)
    trainer, recorder = assembly.trainer, RunRecorder()
    trainer.callbacks.append(recorder)  # type: ignore[attr-defined]
    if logs is not None:
        assembly.start("fit")
    start = time.perf_counter()
    trainer.fit(assembly.model, assembly.datamodule)
    seconds = time.perf_counter() - start
    (tested,) = trainer.test(assembly.model, assembly.datamodule, verbose=False)
    row = Row(
        *run.key,
        **_errors(tested),
        wall_s=round(seconds, 3),
        adapt_s=round(recorder.adaptation_seconds, 4),
        epochs=trainer.current_epoch,
        params=assembly.parameters,
        grid_size=assembly.grid_size,
        version=kanlit.__version__,
    )
    return row, tuple(recorder.curve)


def _errors(tested: Mapping[str, float]) -> dict[str, Any]:
    """The columns of a row that hold test metrics."""
    if "test/calibration_error" in tested:
        own = {key: tested[f"test/{key}"] for key in ("accuracy", "calibration_error")}
        return {"cross_entropy": tested["test/loss"], **own}
    if "test/rel_l2" not in tested:
        raise ConfigurationError("the test has no relative L2 error: give the equation a solution")
    return {"rel_l2": tested["test/rel_l2"]}
