"""Reads checkpoints; every load in kanlit comes through here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kanlit.checkpoints.archive import read_archive
from kanlit.checkpoints.vet import vet

__all__ = ["read_checkpoint"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A Lightning checkpoint of a KAN, as tensors and plain Python; nothing in it is run.

    Raises:
        ConfigurationError: A file that is not one, that is malformed, or that holds anything else.
    """
    return vet(read_archive(path), path)
