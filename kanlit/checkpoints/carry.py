"""Copies the checkpoints that a run resumes from into its own folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from kanlit.checkpoints.read import read_checkpoint
from kanlit.errors import ConfigurationError
from kanlit.files import written_whole

__all__ = ["carry_over", "checkpoint_score"]


def carry_over(source: Path, folder: Path) -> None:
    """Copies a checkpoint, and the best of its run, to ``folder`` as ``last`` and ``best``.

    The folder of a resumed run is thus complete from the start. Existing files are kept. The best
    checkpoint is copied from beside ``source`` if its score is the best score saved in ``source``.
    A new folder appears with all its files, so a process killed in between leaves none that looks
    like a run without a best checkpoint.

    Args:
        source: The checkpoint to resume from.
        folder: The checkpoint folder of the resumed run; created if missing.
    """
    if folder.exists():
        _carry(source, folder)
        return
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    _carry(source, unfinished)
    unfinished.rename(folder)


def _carry(source: Path, folder: Path) -> None:
    beside = source.parent / "best.ckpt"
    if beside.is_file() and not (folder / "best.ckpt").is_file():
        score = checkpoint_score(read_checkpoint(source))
        try:
            same = score is not None and checkpoint_score(read_checkpoint(beside)) == score
        except ConfigurationError:  # not a valid checkpoint
            same = False
        if same:
            _copy(beside, folder / "best.ckpt")
    _copy(source, folder / "last.ckpt")


def checkpoint_score(content: dict[str, Any]) -> float | None:
    """The best validation score saved in a checkpoint."""
    callbacks = content.get("callbacks")
    state = callbacks.get("Checkpoint") if isinstance(callbacks, dict) else None
    score = state.get("best_model_score") if isinstance(state, dict) else None
    return float(score) if isinstance(score, torch.Tensor) and score.numel() == 1 else None


def _copy(source: Path, target: Path) -> None:
    if not target.is_file():
        with written_whole(target) as unfinished:
            shutil.copyfile(source, unfinished)
