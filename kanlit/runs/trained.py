"""Reads a trained run from its folder: checkpoint, config, metrics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Trainer

from kanlit.adaptation import KnotHistory, KnotRecord
from kanlit.checkpoints import (
    folder_of,
    read_checkpoint,
    recorded_equation,
    restore_equation,
    restore_layers,
    restore_module,
)
from kanlit.data import TensorDataModule
from kanlit.errors import ConfigurationError
from kanlit.files import check_regular
from kanlit.modules import KANModule
from kanlit.nn import KANLayer
from kanlit.plotting.histogram import Array
from kanlit.problems import BoundaryValueProblem
from kanlit.runs.config_data import data_of, equation_in
from kanlit.runs.console import quiet_console

__all__ = ["Metrics", "TrainedRun"]

_STAGES = ("train", "val")


@dataclass(frozen=True)
class Metrics:
    """The logged metrics of a run.

    Attributes:
        curves: Epochs (or steps) ``(n,)`` and values ``(n,)`` by the metric's name.
        unit: ``epoch``, or ``step`` if no epochs were logged.
    """

    curves: dict[str, tuple[Array, Array]]
    unit: str


class TrainedRun:
    """Reads a trained run.

    Args:
        checkpoint: A checkpoint of ``kanlit fit``.

    Raises:
        ConfigurationError: If it is not a checkpoint of a KAN.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._content = read_checkpoint(checkpoint)
        self.folder = folder_of(checkpoint)

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        fit = self._content.get("loops", {}).get("fit_loop", {})
        progress = fit.get("epoch_progress", {}).get("current", {})
        return int(progress.get("processed", self._content.get("epoch", 0)))

    @property
    def records(self) -> tuple[KnotRecord, ...]:
        """The history of the knots; empty if the checkpoint has none."""
        history = KnotHistory()
        history.load_state_dict(self._drawn().get("history", []))
        return history.records

    @property
    def names(self) -> dict[str, list[str]]:
        """Names of ``inputs`` and ``targets``; empty if the checkpoint has none."""
        return dict(self._drawn().get("names", {}))

    def _drawn(self) -> dict[str, Any]:
        return dict(self._content.get("callbacks", {}).get("KnotPlotCallback", {}))

    @property
    def noise(self) -> float:
        """Variance of the noise of standardized targets; 0 if the checkpoint has no estimate."""
        known = self._content.get("kanlit", {}).get("uncertainty")
        return 0.0 if known is None else float(known["noise"])

    @property
    def windows(self) -> int:
        """Number of windows of time, each with a network; 1 without windows."""
        edges = self._content["state_dict"].get("window_edges")
        return 1 if edges is None else len(edges) - 1

    def layers(self) -> dict[str, KANLayer]:
        """The KAN layers by name, with the sizes in the checkpoint; of the last window."""
        return restore_layers(self._content, self.checkpoint)

    def module(self, named: type[KANModule] | None, config: Path | None = None) -> KANModule:
        """The module of the checkpoint.

        Args:
            named: Its class if the user has named one.
            config: The settings of the run if the user has named them, for an equation.
        """
        equation = equation_in(config, self._content)
        return restore_module(self._content, self.checkpoint, named, equation)

    def problem(self, config: Path | None) -> BoundaryValueProblem | None:
        """The run's problem, if its equation puts inputs or an ansatz around the network.

        Args:
            config: The settings of the run if the user has named them.
        """
        record = recorded_equation(self._content)
        if record is None:
            return None
        equation = equation_in(config, self._content) or restore_equation(record, self.checkpoint)
        return BoundaryValueProblem(equation)

    def data(self, config: Path | None) -> TensorDataModule:
        """The data of the run.

        Args:
            config: Config of the run. If omitted, ``config.yaml`` in its folder, but only data of
                kanlit's own classes are accepted.

        Raises:
            ConfigurationError: If there is no config, or its data cannot be created.
        """
        path = config or self.folder / "config.yaml"
        if config is None and not path.is_file():
            raise ConfigurationError(f"no config.yaml in {self.folder}: give the config of the run")
        data = data_of(path, trusted=config is not None)
        first, *_, last = [*self.layers().values()] * 2
        sizes = first.in_features, last.out_features
        if (data.in_features, data.out_features) != sizes:
            raise ConfigurationError(
                f"config {path} has data with {data.in_features} inputs and {data.out_features} "
                f"targets, but the network in {self.checkpoint} has {sizes[0]} and {sizes[1]}: "
                f"give the config of the run"
            )
        precision: Any = "64-true" if first.knots.dtype == torch.float64 else "32-true"
        with quiet_console():
            data.trainer = Trainer(  # sets the precision in which the table is read
                accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False
            )
        return data

    def points(self, data: object) -> torch.Tensor | None:
        """The drawn collocation points ``(n, d)`` in the checkpoint; None if there are none.

        Args:
            data: The data of the run.
        """
        state = self._content.get(type(data).__qualname__, {})
        return state.get("train", {}).get("collocation")

    def metrics(self) -> Metrics:
        """Losses and errors of training and validation, from event files or ``metrics.csv``.

        Raises:
            ConfigurationError: If there are none.
        """
        events = list(self.folder.glob("events.out.tfevents.*"))
        for path in [*events, self.folder / "metrics.csv"]:
            check_regular(path, "losses")
        table = self._events() if events else self._csv()
        names = [name for name in table if name != "epoch" and name.startswith(_STAGES)]
        if not names:
            raise ConfigurationError(f"no losses in event files or metrics.csv in {self.folder}")
        steps_an_epoch, unit = 1.0, "step"
        if "epoch" in table:
            steps, epochs = table["epoch"]
            steps_an_epoch, unit = (steps.max() + 1) / (epochs.max() + 1), "epoch"
        return Metrics(
            {name: (table[name][0] / steps_an_epoch, table[name][1]) for name in names}, unit
        )

    def _events(self) -> dict[str, tuple[Array, Array]]:
        """Steps and values of each scalar in TensorBoard's event files."""
        from tensorboard.backend.event_processing import (
            event_accumulator,  # slow to import
        )

        kept = {"scalars": 0, "images": 1, "histograms": 1}
        events = event_accumulator.EventAccumulator(str(self.folder), size_guidance=kept)
        events.Reload()
        table = {}
        for name in events.Tags()["scalars"]:
            rows = pd.DataFrame([(e.step, e.value) for e in events.Scalars(name)], dtype=float)
            table[name] = rows[0].to_numpy(), rows[1].to_numpy()
        return table

    def _csv(self) -> dict[str, tuple[Array, Array]]:
        """Steps and values of each column in the CSV logger's table."""
        path = self.folder / "metrics.csv"
        try:
            rows = pd.read_csv(path)
        except (OSError, ValueError):
            raise ConfigurationError(
                f"no event files and no metrics.csv in {self.folder}"
            ) from None
        table = {}
        for name in rows.columns.drop("step", errors="ignore"):
            values = pd.to_numeric(rows[name], errors="coerce")
            there = values.notna() & ("step" in rows)
            if there.any():
                table[str(name)] = (
                    rows.loc[there, "step"].to_numpy(float),
                    values[there].to_numpy(float),
                )
        return table
