"""A trained run as it lies on the disk: its checkpoint, its config, its metrics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from lightning.pytorch import LightningDataModule, LightningModule

from kanlit.adaptation import KnotHistory, KnotRecord
from kanlit.checkpoints import folder_of, read_checkpoint
from kanlit.cli.assembly import Assembly
from kanlit.cli.console import quiet_console
from kanlit.cli.settings import read_mapping
from kanlit.errors import ConfigurationError
from kanlit.nn import KANLayer
from kanlit.plotting.histogram import Array

__all__ = ["Metrics", "RunFolder"]

_NETWORK = "network."  # of kanlit's modules; a user's own may have none
_STAGES = ("train", "val")
_WEIGHTS = ("knots", "coefficients", "base_weight", "edge_scale", "bias")


@dataclass(frozen=True)
class Metrics:
    """What a run has logged.

    Attributes:
        curves: Epochs (or steps) ``(n,)`` and values ``(n,)`` by the metric's name.
        unit: ``epoch``, or ``step`` where no epochs have been logged.
    """

    curves: dict[str, tuple[Array, Array]]
    unit: str


class RunFolder:
    """Reads what a picture of a trained run needs.

    Args:
        checkpoint: A file that ``kanlit fit`` has written.

    Raises:
        ConfigurationError: It is not a checkpoint of a KAN.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._content = read_checkpoint(checkpoint)
        self.folder = folder_of(checkpoint)

    @property
    def epoch(self) -> int:
        """Epochs that had ended when it was written."""
        fit = self._content.get("loops", {}).get("fit_loop", {})
        progress = fit.get("epoch_progress", {}).get("current", {})
        return int(progress.get("processed", self._content.get("epoch", 0)))

    @property
    def records(self) -> tuple[KnotRecord, ...]:
        """Where the knots have stood; empty in checkpoints without a record of it."""
        history = KnotHistory()
        history.load_state_dict(self._drawn().get("history", []))
        return history.records

    @property
    def names(self) -> dict[str, list[str]]:
        """Names of ``inputs`` and ``targets``; empty where the checkpoint has none."""
        return dict(self._drawn().get("names", {}))

    def _drawn(self) -> dict[str, Any]:
        return dict(self._content.get("callbacks", {}).get("KnotPlotCallback", {}))

    @property
    def buffers(self) -> dict[str, torch.Tensor]:
        """The tensors of the checkpoint that are the module's own, such as ``input_mean``."""
        state = self._content["state_dict"]
        return {name: tensor for name, tensor in state.items() if "." not in name}

    def layers(self) -> dict[str, KANLayer]:
        """The KAN layers, by their name inside the network, sized by the checkpoint."""
        state = self._content["state_dict"]
        settings = self._content.get("hyper_parameters", {})
        found = {}
        for key in (key for key in state if key.endswith(".knots")):
            prefix = key.removesuffix("knots")
            tensors = {name: state.get(prefix + name) for name in _WEIGHTS}
            if any(not isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
                raise ConfigurationError(
                    f"{self.checkpoint} has no weights beside {key}: give one that kanlit fit has "
                    f"written"
                )
            outputs, inputs = tensors["base_weight"].shape
            degree = settings.get("spline_order", 3)
            layer = KANLayer(
                inputs,
                outputs,
                grid_size=tensors["knots"].shape[1] - 2 * degree - 1,
                spline_order=degree,
                outside=settings.get("outside", "linear"),
                basis=settings.get("basis", "bspline"),
                dtype=tensors["knots"].dtype,
            )
            layer.load_state_dict(tensors)
            name = prefix.removesuffix(".").removeprefix(_NETWORK).removeprefix("_orig_mod.")
            found[name] = layer.requires_grad_(False)
        return found

    def module_and_data(self, config: Path | None) -> tuple[LightningModule, LightningDataModule]:
        """The module with the checkpoint's weights, and its data.

        Args:
            config: The settings of the run; left out, ``config.yaml`` in its folder.

        Raises:
            ConfigurationError: No config there, or one of another network.
        """
        path = config or self.folder / "config.yaml"
        if config is None and not path.is_file():
            raise ConfigurationError(f"no config.yaml in {self.folder}: give --config FILE")
        needs = "it needs the keys data and model of a run"
        settings = read_mapping(str(path), "config", "check --config", needs)
        settings = settings["fit"] if isinstance(settings.get("fit"), dict) else settings
        kept = {key: settings[key] for key in ("data", "model") if key in settings}
        precision = (settings.get("trainer") or {}).get("precision")
        trainer = {"accelerator": "cpu", "precision": precision}
        text = yaml.safe_dump({**kept, "trainer": trainer, "seed_everything": False})
        with quiet_console():
            run = Assembly(["--config", text], run=False, records=False)
        module, data = run.model, run.datamodule
        data.trainer = run.trainer  # says in which precision the table is read
        state = self._content["state_dict"]
        try:
            module.to(next(t for key, t in state.items() if key.endswith(".knots")).dtype)
            module.load_state_dict(state)
        except RuntimeError:
            raise ConfigurationError(
                f"config {path} makes another network than {self.checkpoint} has: give the run's "
                f"own --config"
            ) from None
        return module, data

    def metrics(self) -> Metrics:
        """Losses and errors of training and validation, from event files or ``metrics.csv``.

        Raises:
            ConfigurationError: There are none.
        """
        table = self._events() if any(self.folder.glob("events.out.tfevents.*")) else self._csv()
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
        from tensorboard.backend.event_processing import (  # type: ignore[import-untyped]
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
        """The same of the CSV logger's table."""
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
