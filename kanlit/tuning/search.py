"""A search over the settings of a run, stored in a folder so that it can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import yaml
from optuna.trial import FrozenTrial, TrialState

from kanlit.errors import ConfigurationError
from kanlit.files import shown, write_text
from kanlit.tables.writer import write_table
from kanlit.tuning.space import Dimension, with_values
from kanlit.tuning.trial import Result, run_trial

__all__ = ["Search"]

_FIRST, _WARMUP = 5, 5  # complete trials before any is pruned, and validations of each
_NAME, _STORAGE = "kanlit", "study.db"


class Search:
    """Trains networks with settings that Optuna chooses, and keeps the best.

    The folder has the storage ``study.db``, the table ``trials.csv`` and the settings of the best
    trial, ``best.yaml``; all are up to date after each trial.

    Args:
        folder: The folder; created, or resumed if it has a storage.
        config: All settings of a run.
        space: The settings that are searched.
        monitor: Validation metric; lower is better.
        seed: Seed of the sampler.

    Raises:
        ConfigurationError: The storage in the folder is of another search, or cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        space: Sequence[Dimension],
        monitor: str,
        seed: int,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder, self.config, self.space, self.monitor = folder, config, space, monitor
        self._seed = seed
        path = folder / _STORAGE
        try:
            self._study = optuna.create_study(
                storage=f"sqlite:///{path}",
                study_name=_NAME,
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(_FIRST, _WARMUP),
            )
        except Exception as error:  # of the database
            raise ConfigurationError(
                f"cannot read {shown(path)} ({type(error).__name__}): name another folder"
            ) from None
        self._claim()

    def _claim(self) -> None:
        """Records what is searched, or checks that a resumed search is of the same."""
        own = {
            "config": json.dumps(self.config, sort_keys=True),
            "space": json.dumps([vars(each) for each in self.space]),
            "monitor": self.monitor,
        }
        kept = self._study.user_attrs
        for name, value in own.items():
            if kept.get(name, value) != value:
                raise ConfigurationError(
                    f"{shown(self.folder)} has a search with another {name}: give the same to "
                    f"resume it, or name another folder"
                )
            if name not in kept:
                self._study.set_user_attr(name, value)
        for trial in self._study.get_trials(states=[TrialState.RUNNING]):  # of a killed process
            self._study.tell(trial.number, state=TrialState.FAIL)
            if trial.params:
                self._study.enqueue_trial(trial.params)

    @property
    def finished(self) -> list[FrozenTrial]:
        """Trials that have ended, not those of a process that was killed or interrupted."""
        return [trial for trial in self._study.trials if "seconds" in trial.user_attrs]

    @property
    def best(self) -> FrozenTrial | None:
        """The complete trial with the lowest metric, if any."""
        complete = [t for t in self.finished if t.state is TrialState.COMPLETE]
        return min(complete, key=lambda trial: trial.value or 0.0, default=None)

    def run(self, trials: int, report: Callable[[str], None] = lambda line: None) -> None:
        """Runs trials until ``trials`` have ended, those of earlier processes included.

        Args:
            trials: Total number of trials.
            report: Receives a line per trial.

        Raises:
            ConfigurationError: A value in the space is not possible for its setting.
        """
        while (done := len(self.finished)) < trials:
            sampler = optuna.samplers.TPESampler(seed=self._seed + done)
            self._study.sampler = sampler  # a resumed search must not draw the same again
            trial = self._study.ask()
            values = {each.key: each.suggest(trial) for each in self.space}
            try:
                result = run_trial(trial, with_values(self.config, values), self.monitor)
            except ConfigurationError as error:
                self._study.tell(trial, state=TrialState.FAIL)
                raise ConfigurationError(f"{described(values)}: {error}") from None
            self._record(trial, result)
            self._write()
            report(f"trial {done + 1} of {trials}: {self._outcome(result)}; {described(values)}")

    def _record(self, trial: optuna.Trial, result: Result) -> None:
        for name in ("seconds", "epochs", "parameters", "error"):
            trial.set_user_attr(name, getattr(result, name))
        if result.error:
            self._study.tell(trial, state=TrialState.FAIL)
        elif result.pruned:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, result.value)

    def _outcome(self, result: Result) -> str:
        if result.error:
            return f"failed ({result.error})"
        stopped = f", stopped after {result.epochs} epochs" if result.pruned else ""
        best = "" if self.best is None else f" (best {self.best.value:.3e})"
        return f"{self.monitor} {result.value:.3e}{stopped}{best}"

    def table(self) -> pd.DataFrame:
        """A row per finished trial, best first."""
        rows = [
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                self.monitor: trial.value,
                **{each.key: str(each.value_of(trial.params)) for each in self.space},
                **trial.user_attrs,
            }
            for trial in self.finished
        ]
        table = pd.DataFrame(rows)
        return table.sort_values(["state", self.monitor, "trial"]) if rows else table

    def _write(self) -> None:
        write_table(self.table(), self.folder / "trials.csv")
        if self.best is not None:
            values = {each.key: each.value_of(self.best.params) for each in self.space}
            text = yaml.safe_dump(with_values(self.config, values), sort_keys=False)
            write_text(self.folder / "best.yaml", text)


def described(values: Mapping[str, Any]) -> str:
    """Values in one line."""
    numbers = {key: f"{v:.3g}" if isinstance(v, float) else str(v) for key, v in values.items()}
    return ", ".join(f"{key} {value}" for key, value in numbers.items())
