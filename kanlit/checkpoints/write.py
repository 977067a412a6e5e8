"""Checkpoints as a trainer writes, loads and removes them."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from kanlit.checkpoints.paths import with_paths_beside
from kanlit.checkpoints.read import read_checkpoint
from kanlit.errors import ConfigurationError
from kanlit.files import written_whole

__all__ = ["AtomicCheckpointIO"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes whole files, loads vetted content, removes files only.

    Lightning's own writer moves a file from the temporary folder, which on another file system
    is a copy: a process killed during it leaves half a checkpoint under the good one's name. Its
    loader runs what is in a file where an environment variable says so.
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

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The content of a checkpoint, on the CPU; see :func:`read_checkpoint`."""
        if "://" in str(path):
            raise ConfigurationError(f"checkpoint {path} is not a local file: copy it here first")
        content = read_checkpoint(Path(path))
        if "pytorch-lightning_version" not in content:
            raise ConfigurationError(
                f"{path} holds weights alone, which no run can go on from: give a checkpoint that "
                f"kanlit fit has written"
            )
        return with_paths_beside(content, Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        # Never a folder: the path may come from a checkpoint.
        Path(path).unlink(missing_ok=True)
