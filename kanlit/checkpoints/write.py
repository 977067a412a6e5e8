"""Writes checkpoints so that a process killed on the way leaves the last good one whole."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from kanlit.files import written_whole

__all__ = ["AtomicCheckpointIO"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, brings it to the disk, then renames.

    Lightning's own writer moves a file from the temporary folder, which on another file system
    is a copy: a process killed during it leaves half a checkpoint under the good one's name.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        if "://" in str(path):  # not a file system that can rename
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        # In memory first: of a full disk torch says only that its own writer has failed.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with suppress(OSError):  # what is wrong with the folder shows below
            target.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(target) as unfinished:
            unfinished.write_bytes(content.getbuffer())
