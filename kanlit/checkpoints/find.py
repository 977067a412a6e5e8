"""Finds the checkpoint that the command line means."""

from __future__ import annotations

from pathlib import Path

from kanlit.checkpoints.record import RunRecord, default_place, read_record, runs_under
from kanlit.errors import ConfigurationError
from kanlit.files import expanded

__all__ = ["find_checkpoint", "folder_of", "named_checkpoint", "newest_checkpoint"]

NAMES = ("last", "best")


def find_checkpoint(name: str, root: Path) -> Path:
    """The file that a checkpoint's name on the command line means.

    Args:
        name: A path, or ``last`` or ``best``: that of the newest run of ``root``.
        root: The trainer's root directory.

    Raises:
        ConfigurationError: There is none.
    """
    if name not in NAMES:
        return named_checkpoint(name)
    path = newest_checkpoint(name, runs_under(root))
    if path is None:
        raise ConfigurationError(
            f"no {name} checkpoint under {default_place(root)}: train one first with kanlit fit"
        )
    return path


def named_checkpoint(name: str) -> Path:
    """The file at a path.

    Raises:
        ConfigurationError: There is none, or a folder.
    """
    path = expanded(name)
    if path.is_dir():
        raise ConfigurationError(f"checkpoint {name} is a folder: give the .ckpt file in it")
    if not path.is_file():
        raise ConfigurationError(
            f"checkpoint {name} does not exist: give the path of a .ckpt file, or last or best "
            f"for the newest under --trainer.default_root_dir"
        )
    return path


def newest_checkpoint(name: str, runs: list[RunRecord]) -> Path | None:
    """``last`` or ``best`` of the newest run that trains; None where no run has any checkpoint.

    Args:
        name: ``last`` or ``best``.
        runs: The newest first.

    Raises:
        ConfigurationError: The newest run has none, and an older run, which is another one, has.
    """
    trained = [run for run in runs if run.command == "fit"]
    if not trained or not any(run.checkpoint(each) for run in trained for each in NAMES):
        return None
    newest = trained[0]
    path = newest.checkpoint(name)
    if path is not None:
        return path
    if newest.checkpoint("last"):
        raise ConfigurationError(
            f"the newest run, {newest.folder}, has no {name} checkpoint yet: give last, or the "
            f"path of a .ckpt file"
        )
    why = "keeps none" if newest.checkpoints is None else "ended before it wrote one"
    raise ConfigurationError(
        f"the newest run, {newest.folder}, has no {name} checkpoint ({why}): give the path of a "
        f".ckpt file of another run, or remove that folder"
    )


def folder_of(checkpoint: Path) -> Path:
    """The folder of the run that has written a checkpoint."""
    home = checkpoint.parent
    record = read_record(home)
    # A record that came with the checkpoint is not to say where files go: the run's own agrees.
    if record is not None and read_record(record.folder) == record:
        return record.folder
    return home.parent if home.name == "checkpoints" else home
