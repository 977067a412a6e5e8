"""Finds the checkpoint to resume, in the folder where the run will write."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from kanlit.checkpoints import (
    RunRecord,
    default_place,
    named_checkpoint,
    newest_checkpoint,
    runs_in,
)
from kanlit.runs.loggers import chosen_version

__all__ = ["checkpoint_to_resume"]


def checkpoint_to_resume(
    name: str, trainer: Any, dirpath: str | None, run: str | None = None
) -> tuple[Path | None, Path]:
    """Finds the checkpoint that a run with these settings resumes.

    Args:
        name: A path, or ``last`` or ``best`` of the newest run in the folder where a run with these
            settings writes.
        trainer: Settings of the trainer.
        dirpath: Folder of the checkpoints, if the user has named one.
        run: Name of the run, if the user has given one.

    Returns:
        The checkpoint, or None if there is none, and the folder that was searched.

    Raises:
        ConfigurationError: If the path has no file, or the newest run has no checkpoint.
    """
    if name not in ("last", "best"):
        path = named_checkpoint(name)
        return path, path.parent
    if dirpath is not None:
        folder = Path(dirpath)
        record = RunRecord(folder, folder, "fit", "", "", 0)
        return newest_checkpoint(name, [record]), folder
    place, version = _place(trainer.logger, Path(trainer.default_root_dir or "."))
    version = chosen_version(run, version)
    runs = runs_in(place)
    if version is None:
        return newest_checkpoint(name, runs), place
    folder = place / (version if isinstance(version, str) else f"version_{version}")
    return newest_checkpoint(name, [each for each in runs if each.folder == folder]), folder


def _place(logger: Any, root: Path) -> tuple[Path, str | int | None]:
    """The folder of the first local logger, and its version if it is fixed."""
    for settings in _local(logger):
        name = settings.get("name", "lightning_logs")
        return Path(settings["save_dir"], name or ""), settings.get("version")
    return default_place(root), None


def _local(logger: Any) -> Iterator[Mapping[str, Any]]:
    for each in logger if isinstance(logger, list) else [logger]:
        path = getattr(each, "class_path", None)
        if path is None:
            continue  # true, false, or none given
        home, _, name = path.rpartition(".")
        cls = getattr(sys.modules.get(home), name, None)  # the parser has imported it
        if isinstance(cls, type) and issubclass(cls, TensorBoardLogger | CSVLogger):
            yield vars(each.init_args)
