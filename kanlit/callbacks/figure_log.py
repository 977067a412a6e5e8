"""Logs the figures of a run to its loggers or as PNG files to its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from kanlit.callbacks.checkpoint import writes_nothing
from kanlit.files import written_whole

__all__ = ["log_figure"]

_THUMBNAIL_FONT = 20  # of the title, which TensorBoard shows at a third of its size


def log_figure(trainer: Trainer, figure: Figure, tag: str, file_name: str) -> None:
    """Adds a figure to each logger that supports figures, and writes a PNG for the other loggers.

    Args:
        trainer: Its loggers are used; without loggers the PNG is written to its root directory.
        figure: The figure; it is not closed.
        tag: Name of the figure in TensorBoard.
        file_name: Name of the PNG in the run's folder.
    """
    for logger in trainer.loggers:
        if _supports_figures(logger):
            experiment: Any = getattr(logger, "experiment")  # noqa: B009
            for title in figure.findobj(_is_title):
                title.set_fontsize(_THUMBNAIL_FONT)  # type: ignore[attr-defined]
            experiment.add_figure(tag, figure, global_step=trainer.global_step, close=False)
            experiment.flush()
    for folder in [] if writes_nothing(trainer) else _png_folders(trainer):
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / file_name) as unfinished:
            figure.savefig(unfinished, format="png")


def _is_title(artist: Artist) -> bool:
    return artist.get_gid() == "title"


def _supports_figures(logger: Logger) -> bool:
    return hasattr(getattr(logger, "experiment", None), "add_figure")


def _png_folders(trainer: Trainer) -> list[Path]:
    """Folders of the loggers without figures; the root directory for a logger without a folder."""
    kept = [each.log_dir for each in trainer.loggers if not _supports_figures(each)]
    if not trainer.loggers:
        kept = [None]
    return [Path(folder or trainer.default_root_dir) for folder in dict.fromkeys(kept)]
