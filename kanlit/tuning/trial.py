"""Trains the network of one trial and stops it early if it is worse than most."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from kanlit.errors import ConfigurationError, DivergenceError
from kanlit.runs.assembly import Assembly
from kanlit.runs.console import quiet_console
from kanlit.runs.isolation import preserved_settings
from kanlit.runs.threads import chosen_threads

__all__ = ["Result", "run_trial"]


@dataclass(frozen=True)
class Result:
    """Result of a trial.

    Attributes:
        value: Lowest validation metric; NaN if the training diverged.
        pruned: Whether it was stopped early.
        seconds: Duration of the training.
        epochs: Number of epochs.
        parameters: Number of trained parameters.
        error: Why it failed; empty if it did not.
    """

    value: float
    pruned: bool
    seconds: float
    epochs: int
    parameters: int
    error: str = ""


class _Pruning(Callback):
    """Reports the best metric so far after each validation and stops a trial that is worse."""

    def __init__(self, trial: optuna.Trial, monitor: str) -> None:
        self.trial, self.monitor = trial, monitor
        self.best, self.pruned = math.inf, False
        self._validations = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.enable_validation:
            raise ConfigurationError(
                "a search compares networks on validation data, and this config has none: set "
                "trainer.limit_val_batches above 0 and give the data validation rows"
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metric = trainer.callback_metrics.get(self.monitor)
        if metric is None:
            known = ", ".join(sorted(map(str, trainer.callback_metrics)))
            raise ConfigurationError(
                f"validation does not log {self.monitor!r}: choose the metric from {known}"
            )
        value = float(metric)
        self.best = min(self.best, value) if math.isfinite(value) else self.best
        self._validations += 1
        if math.isfinite(self.best):
            self.trial.report(self.best, self._validations)
            if self.trial.should_prune():
                self.pruned = trainer.should_stop = True


def run_trial(trial: optuna.Trial, config: Mapping[str, Any], monitor: str) -> Result:
    """Trains a network with all settings of a config, without output or files.

    Raises:
        ConfigurationError: A setting is out of range; there are no validation data.
        KeyboardInterrupt: The user has interrupted the training.
    """
    pruning, error = _Pruning(trial, monitor), ""
    start = time.perf_counter()
    words = ["--config", yaml.safe_dump(dict(config)), "--trainer.enable_progress_bar=false"]
    with preserved_settings(), quiet_console():
        assembly = Assembly(words, run=False, records=False)
        trainer, module = assembly.trainer, assembly.model
        trainer.callbacks.append(pruning)  # type: ignore[attr-defined]
        try:
            with chosen_threads(trainer, module):
                trainer.fit(module, assembly.datamodule)
        except DivergenceError as diverged:
            error = str(diverged)
        except SystemExit:  # how Lightning ends a run that the user interrupts
            raise KeyboardInterrupt from None
    found = math.isfinite(pruning.best) and not error
    return Result(
        pruning.best if found else math.nan,
        pruning.pruned,
        round(time.perf_counter() - start, 2),
        trainer.current_epoch,
        assembly.parameters,
        error or ("" if found else "no finite validation metric"),
    )
