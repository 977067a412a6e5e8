"""Brings the checkpoints that a run goes on from into its own folder."""

from __future__ import annotations

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

    A run that goes on from another is then whole in its own folder from its first moment. What is
    there already stays. The best is looked for beside ``source``, and taken where its score is
    the one that ``source`` knows.

    Args:
        source: The checkpoint from which training goes on.
        folder: The checkpoints of the run that goes on; made where there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _copy(source, folder / "last.ckpt")
    beside = source.parent / "best.ckpt"
    if beside.is_file() and not (folder / "best.ckpt").is_file():
        score = checkpoint_score(read_checkpoint(source))
        try:
            same = score is not None and checkpoint_score(read_checkpoint(beside)) == score
        except ConfigurationError:  # what lies there is no checkpoint
            same = False
        if same:
            _copy(beside, folder / "best.ckpt")


def checkpoint_score(content: dict[str, Any]) -> float | None:
    """The best score on validation that a checkpoint knows of."""
    callbacks = content.get("callbacks")
    state = callbacks.get("Checkpoint") if isinstance(callbacks, dict) else None
    score = state.get("best_model_score") if isinstance(state, dict) else None
    return float(score) if isinstance(score, torch.Tensor) and score.numel() == 1 else None


def _copy(source: Path, target: Path) -> None:
    if not target.is_file():
        with written_whole(target) as unfinished:
            shutil.copyfile(source, unfinished)
