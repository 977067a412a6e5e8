"""Where the figures of a run go: into its loggers, or into its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from matplotlib.figure import Figure

from kanlit.callbacks.checkpoint import writes_nothing
from kanlit.files import written_whole

__all__ = ["log_figure"]


def log_figure(trainer: Trainer, figure: Figure, tag: str, file_name: str) -> None:
    """Gives a figure to each logger that takes figures; for the others it is a PNG.

    Args:
        trainer: Its loggers; without any the PNG lies in its root directory.
        figure: Is left open.
        tag: Its name in TensorBoard.
        file_name: Of the PNG, in the run's folder.
    """
    for logger in trainer.loggers:
        if _takes_figures(logger):
            experiment: Any = getattr(logger, "experiment")  # noqa: B009
            experiment.add_figure(tag, figure, global_step=trainer.global_step, close=False)
            experiment.flush()
    for folder in [] if writes_nothing(trainer) else _png_folders(trainer):
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / file_name) as unfinished:
            figure.savefig(unfinished, format="png")


def _takes_figures(logger: Logger) -> bool:
    return hasattr(getattr(logger, "experiment", None), "add_figure")


def _png_folders(trainer: Trainer) -> list[Path]:
    """The folders of the loggers without figures; for those without one, the root directory."""
    kept = [each.log_dir for each in trainer.loggers if not _takes_figures(each)]
    if not trainer.loggers:
        kept = [None]
    return [Path(folder or trainer.default_root_dir) for folder in dict.fromkeys(kept)]
