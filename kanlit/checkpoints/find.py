"""Finds the checkpoint that a name on the command line refers to."""

from __future__ import annotations

from pathlib import Path

from kanlit.checkpoints.record import RunRecord, default_place, read_record, runs_under
from kanlit.errors import ConfigurationError
from kanlit.files import expanded

__all__ = ["find_checkpoint", "folder_of", "named_checkpoint", "newest_checkpoint"]

NAMES = ("last", "best")


def find_checkpoint(name: str, root: Path) -> Path:
    """The file that a checkpoint name refers to.

    Args:
        name: A path, or ``last`` or ``best`` for the newest run in ``root``.
        root: The trainer's root directory.

    Raises:
        ConfigurationError: There is no such checkpoint.
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
        ConfigurationError: The path does not exist or is a folder.
    """
    path = expanded(name)
    if path.is_dir():
        raise ConfigurationError(f"checkpoint {name} is a folder: give the .ckpt file in it")
    if not path.is_file():
        raise ConfigurationError(
            f"checkpoint {name} does not exist: give the path of a .ckpt file, or last or best "
            f"for the newest run under trainer.default_root_dir"
        )
    return path


def newest_checkpoint(name: str, runs: list[RunRecord]) -> Path | None:
    """``last`` or ``best`` of the newest training run; None if no run has a checkpoint.

    Args:
        name: ``last`` or ``best``.
        runs: All runs, newest first.

    Raises:
        ConfigurationError: The newest run has no such checkpoint, but another run has one.
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
    """The folder of the run that wrote a checkpoint."""
    home = checkpoint.parent
    record = read_record(home)
    # A record copied with a checkpoint is trusted only if the record in the run's folder agrees.
    if record is not None and read_record(record.folder) == record:
        return record.folder
    return home.parent if home.name == "checkpoints" else home
