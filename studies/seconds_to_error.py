"""Seconds that the recipes best and fast need to reach the paper's error.

    python studies/seconds_to_error.py

All runs use kanlit's modules, data and callbacks, on one thread, in turn in one process. The
paper's error is its better published median (arXiv 2601.18672). The error on the test grid is
measured after every step of the two recipes; the time of this is subtracted. The paper's protocol
is the recipe ``paper``: all published epochs of Adam, with kanlit's kernel. Seconds are processor
seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import statistics
import time
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from kanlit.benchmark import TASKS, build_matrix, densities_by_class
from kanlit.benchmark.published import published_medians
from kanlit.metrics import RelativeL2Error
from kanlit.runs.assembly import Assembly


class Watch(Callback):
    """Records when the error first reached a level, in seconds of training."""

    def __init__(self, data: Any, level: float) -> None:
        self._data = data
        self._test: list[tuple[Tensor, Tensor]] = []
        self._level = level
        self._start = 0.0
        self._aside = 0.0
        self.reached = math.inf

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._data.setup("test")  # now that the dtype of the trainer is known
        self._test = list(self._data.test_dataloader())
        self._start = time.process_time()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        if math.isfinite(self.reached):
            return
        now = time.process_time()
        error = RelativeL2Error()
        with torch.no_grad():
            for x, y in self._test:
                error.update(pl_module(x), y)
        if float(error.compute()) <= self._level:
            self.reached = now - self._start - self._aside
            trainer.should_stop = True
        self._aside += time.process_time() - now


def seconds(word: str, recipe: str, seed: int, level: float | None) -> float:
    """Seconds of training until the level is reached, or of the whole run without a level."""
    density: dict[str, Any] | None = {"adaptation": {}} if level is not None else None
    densities = densities_by_class(["CurvatureDensity"]) if density is None else {"recipe": density}
    (run,) = build_matrix([TASKS[word]], densities, recipe, [seed]).runs
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        assembly = Assembly(run.arguments, run=False, records=False)
        watch = None
        if level is not None:
            watch = Watch(assembly.datamodule, level)
            assembly.trainer.callbacks.append(watch)  # type: ignore[attr-defined]
        start = time.process_time()
        assembly.trainer.fit(assembly.model, assembly.datamodule)
    return time.process_time() - start if watch is None else watch.reached


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["f2", "f5", "f9", "helmholtz11"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[101, 102, 103])
    options = parser.parse_args()
    torch.set_num_threads(1)
    published = published_medians()
    columns = ["task", "the paper's error", "best, s", "fast, s", "paper's protocol, s"]
    columns += ["protocol / best", "protocol / fast"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for word in options.tasks:
        task = TASKS[word]
        own = published[(published["benchmark"] == task.suite) & (published["task"] == task.name)]
        level = float(own[own["source"] == "paper"]["rel_l2"].min())
        taken = [
            (
                seconds(word, "best", seed, level),
                seconds(word, "fast", seed, level),
                seconds(word, "paper", seed, None),
            )
            for seed in options.seeds
        ]
        best, fast, paper = (statistics.median(times) for times in zip(*taken, strict=True))
        print(
            f"| {word} | {level:.1e} | {best:.2f} | {fast:.2f} | {paper:.1f} "
            f"| {paper / best:.0f} | {paper / fast:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
