"""Reads checkpoints as tensors and plain Python; nothing in them is run."""

from __future__ import annotations

import pickle
import struct
import warnings
from pathlib import Path
from typing import Any

import torch

from kanlit.errors import ConfigurationError

__all__ = ["read_checkpoint"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A Lightning checkpoint of a KAN, as tensors and plain Python; nothing in it is run.

    Raises:
        ConfigurationError: A file that is not one, or that holds anything else.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigurationError(f"cannot read checkpoint {path}: {error.strerror}") from None
    try:
        with warnings.catch_warnings(action="ignore"):  # a foreign file is refused below
            content = torch.load(path, weights_only=True, map_location="cpu")
    # What a file of any bytes makes an unpickler raise is not a closed list.
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,  # of a file cut short: it seeks before the start
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        AssertionError,
        MemoryError,
        struct.error,
    ):
        raise ConfigurationError(
            f"{path} is not a checkpoint, or it holds more than tensors and plain Python and "
            f"is not safe to load: give one that kanlit fit has written"
        ) from None
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not any(str(key).endswith(".knots") for key in state):
        raise ConfigurationError(
            f"{path} is not a checkpoint of a KAN (no knots in it): give one that kanlit fit has "
            f"written"
        )
    return content
