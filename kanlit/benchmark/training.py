"""One run, in whatever process it lands: the modules, data and callback of ``kanlit fit``."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import kanlit
from kanlit.benchmark.isolation import set_back
from kanlit.benchmark.matrix import Run
from kanlit.benchmark.recorder import Point, RunRecorder
from kanlit.benchmark.results import Row
from kanlit.runs.assembly import Assembly
from kanlit.runs.console import quiet_console
from kanlit.runs.exceptions import one_line

__all__ = ["Outcome", "failure", "train"]

# Seeds and modes are the process's, so a process trains one network at a time.
_one_at_a_time = Lock()


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        row: Its row in the table.
        curve: Its loss over the epochs.
        warnings: What training warned of.
    """

    row: Row
    curve: tuple[Point, ...] = ()
    warnings: tuple[str, ...] = ()


def train(run: Run, threads: int, logs: Path | None = None) -> Outcome:
    """Trains and tests; an error becomes a row that says so.

    The process may have made other runs before and will make more: whatever settings of its own
    a run changes are set back, so that its figures are those of a process of its own.

    Args:
        run: What is to be trained.
        threads: Threads it may use.
        logs: Folder for its TensorBoard logs and checkpoints; left out, it keeps none.
    """
    with _one_at_a_time, set_back(threads), quiet_console() as said:
        try:
            row, curve = _train(run, logs)
        except (Exception, SystemExit) as error:
            row, curve = failure(run, error).row, ()
    gc.collect()  # a trainer and its module hold each other
    return Outcome(row, curve, tuple(said))


def failure(run: Run, error: BaseException) -> Outcome:
    """The outcome of a run that an error has ended."""
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
        rel_l2=tested["test/rel_l2"],
        wall_s=round(seconds, 3),
        adapt_s=round(recorder.adaptation_seconds, 4),
        epochs=trainer.current_epoch,
        params=assembly.parameters,
        grid_size=assembly.grid_size,
        version=kanlit.__version__,
    )
    return row, tuple(recorder.curve)
