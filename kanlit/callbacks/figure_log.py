"""Logs the figures of a run to its loggers or as PNG files to its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kanlit.callbacks.checkpoint import writes_nothing
from kanlit.files import written_whole

__all__ = ["log_figure"]

# Points of text in TensorBoard, which shows a picture of 9.6 inches at a third of its size.
_TITLE, _AXIS, _TICK = 20, 14, 12
_INTERVALS = 3  # between ticks of that size
_NARROWEST = 2.4  # inches of axes that have room for it


def log_figure(trainer: Trainer, figure: Figure, tag: str, file_name: str) -> None:
    """Adds a figure to each logger that supports figures, and writes a PNG for the other loggers.

    Args:
        trainer: Its loggers are used; without loggers the PNG is written to its root directory.
        figure: The figure; it is not closed, but its text gets larger for TensorBoard.
        tag: Name of the figure in TensorBoard.
        file_name: Name of the PNG in the run's folder.
    """
    for folder in [] if writes_nothing(trainer) else _png_folders(trainer):
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / file_name) as unfinished:
            figure.savefig(unfinished, format="png")
    for logger in trainer.loggers:
        if _supports_figures(logger):
            experiment: Any = getattr(logger, "experiment")  # noqa: B009
            _enlarge_text(figure)
            experiment.add_figure(tag, figure, global_step=trainer.global_step, close=False)
            experiment.flush()


def _enlarge_text(figure: Figure) -> None:
    """Makes the title and all but narrow axes legible in a thumbnail, with fewer ticks."""
    for title in figure.findobj(_is_title):
        title.set_fontsize(_TITLE)  # type: ignore[attr-defined]
    wide = [a for a in figure.axes if a.bbox.width / figure.dpi >= _NARROWEST]
    for axes in wide:
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set(fontsize=_AXIS, fontweight="bold")  # its pixels are not averaged
            axis.labelpad = 1
            axis.set_tick_params(labelsize=_TICK)
            axis.get_offset_text().set_fontsize(_TICK)
            if isinstance(axis.get_major_locator(), MaxNLocator):
                axis.set_major_locator(MaxNLocator(_INTERVALS))


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
