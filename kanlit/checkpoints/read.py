"""Reads checkpoints; all of kanlit loads checkpoints through this function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kanlit.checkpoints.archive import read_archive
from kanlit.checkpoints.vet import vet

__all__ = ["read_checkpoint"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a Lightning checkpoint of a KAN as tensors and plain Python values; runs nothing in it.

    Raises:
        ConfigurationError: The file is not such a checkpoint, or it is malformed.
    """
    return vet(read_archive(path), path)
