"""TensorBoard's view of a run: HPARAMS, the layout of CUSTOM SCALARS, one file of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

from kanlit.runs.settings import Setting

__all__ = ["keep_book", "key_settings"]

# TensorBoard shows five columns of settings unless the user ticks more: those with "differs".
_COLUMNS = ("data", "density", "hidden", "schedule", "seed")
_METRICS = ("test/rel_l2", "test/accuracy", "test/loss", "val/loss")
_TITLES = {"rel_l2": "relative L2"}  # of charts, where they are not the names of the metrics
_GRID = {
    "Grid": {
        "G": ["Multiline", ["grid/size"]],
        "refit error": ["Multiline", ["grid/refit_error"]],
    }
}
_SIZES = ("hidden", "grid_size", "spline_order")
# Keys of the settings by their names in HPARAMS; the data's is followed by what they are of.
_KEYS = {
    "data": "data",
    "density": "adaptation.density",
    "schedule": "adaptation.schedule",
    "hidden": "model.hidden",
    "grid_size": "model.grid_size",
    "spline_order": "model.spline_order",
    "basis": "model.basis",
    "optimizer": "model.optimizer",
    "lr": "model.optimizer.lr",
    "seed": "seed_everything",
}
_TASK = ("data.function", "data.equation", "data.path")


def key_settings(settings: Sequence[Setting]) -> dict[str, Any]:
    """The settings that tell runs apart: data, density, schedule, network, optimizer and seed.

    TensorBoard shows the columns of one run, so every run has all; what it does not set is empty.
    """
    known = {
        s.key: _short(s.value) if s.names_class else s.value for s in settings if s.value != {}
    }
    found = {name: known.get(key) for name, key in _KEYS.items()}
    task = next((known[key] for key in _TASK if known.get(key) is not None), "")
    found["data"] = f"{found['data']} {Path(str(task)).name}".strip()
    return {name: "" if value is None else value for name, value in found.items()}


def _short(name: Any) -> str:
    return str(name).rpartition(".")[2]


def keep_book(logger: Logger, trainer: Trainer, settings: Mapping[str, Any], fits: bool) -> None:
    """Makes a logger record the settings of a run, in TensorBoard instead of those of its module.

    TensorBoard then shows one row per run in HPARAMS, with its test errors, and has one file of
    events per run: Lightning closes it at the end of ``fit``, and a test would open another.

    Args:
        logger: A logger that has not logged yet. Its methods are replaced.
        trainer: Its trainer.
        settings: Result of :func:`key_settings`.
        fits: Whether the run trains; otherwise no settings are logged.
    """
    replaced = _Settings(logger, trainer, logger.log_hyperparams, settings, fits)
    logger.log_hyperparams = replaced  # type: ignore[method-assign]
    if isinstance(logger, TensorBoardLogger):
        logger.finalize = _Flush(logger)  # type: ignore[method-assign]


@dataclass
class _Settings:
    """Logs settings with the hyperparameters given; a class, so that it can be pickled."""

    logger: Logger
    trainer: Trainer
    method: Callable[..., None]
    settings: Mapping[str, Any]
    fits: bool

    @rank_zero_only
    def __call__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        if not self.fits:
            return
        # A module may have chosen sizes from the data since the initial parameters in params.
        now = self.trainer.lightning_module.hparams
        found = {**self.settings, **{name: now[name] for name in _SIZES if name in now}}
        if isinstance(self.logger, TensorBoardLogger):
            _write(self.logger, found)
            layout = _layout(self.trainer.lightning_module)
            self.logger.experiment.add_custom_scalars(layout)
        else:
            own = {name: value for name, value in params.items() if not name.startswith("_")}
            self.method({**own, **found})


@dataclass
class _Flush:
    """Writes what is buffered, and leaves the file open."""

    logger: TensorBoardLogger

    def __call__(self, status: str) -> None:
        self.logger.experiment.flush()


def _write(logger: TensorBoardLogger, settings: Mapping[str, Any]) -> None:
    """Writes the row of HPARAMS, whose metrics TensorBoard reads from the scalars."""
    plain = {k: v if isinstance(v, int | float | bool) else str(v) for k, v in settings.items()}
    logger.hparams.update(settings)  # for Lightning's hparams.yaml
    experiment, *session = hparams(plain, dict.fromkeys(_METRICS, 0.0))
    columns = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(columns.content)
    for column in content.experiment.hparam_infos:
        column.differs = column.name in _COLUMNS
    columns.content = content.SerializeToString()
    for summary in (experiment, *session):
        logger.experiment.file_writer.add_summary(summary)


def _layout(module: Any) -> dict[str, Any]:
    """The charts of CUSTOM SCALARS: those of the module's metrics, or else of its residuals."""
    names = [tag.removeprefix("val/") for tag in module.validation_metrics]
    charts = {_TITLES.get(name, name): [f"val/{name}", f"test/{name}"] for name in names}
    charts["loss"].insert(0, "train/loss")
    if names == ["loss"]:
        charts["residuals"] = [r"val/(?!loss$).+"]
    return {"Errors": {title: ["Multiline", tags] for title, tags in charts.items()}, **_GRID}
