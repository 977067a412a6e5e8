"""Checkpoint I/O of the trainer: atomic writing, safe loading and removing."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from kanlit.checkpoints.archive import read_archive
from kanlit.checkpoints.paths import with_paths_beside
from kanlit.checkpoints.vet import vet
from kanlit.errors import ConfigurationError
from kanlit.files import written_whole

__all__ = ["AtomicCheckpointIO"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes files atomically, loads validated content, and removes only files.

    Lightning's own writer moves a file from the temporary folder. On another file system this is a
    copy, so a killed process can leave a partial checkpoint. Its loader runs code in a file if an
    environment variable is set.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        if "://" in str(path):  # not a local file system
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        # In memory first: for a full disk, torch reports only that its writer failed.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with suppress(OSError):  # errors of the folder are reported below
            target.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(target) as unfinished:
            unfinished.write_bytes(content.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The content of a checkpoint, on the CPU; see :func:`kanlit.checkpoints.read_checkpoint`.

        A file of nothing but tensors is returned as it is: that is how the ranks of ``ddp_spawn``
        return their weights to the main process.
        """
        if "://" in str(path):
            raise ConfigurationError(f"checkpoint {path} is not a local file: copy it here first")
        content = read_archive(Path(path))
        if isinstance(content, dict) and content and all(map(torch.is_tensor, content.values())):
            return content
        content = vet(content, Path(path))
        if "pytorch-lightning_version" not in content:
            raise ConfigurationError(
                f"{path} has only weights, so no run can resume from it: use a checkpoint written "
                f"by kanlit fit"
            )
        return with_paths_beside(content, Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        # Never removes a folder: the path may come from a checkpoint.
        Path(path).unlink(missing_ok=True)
