"""Finds and vets checkpoints before anything is built from them."""

from __future__ import annotations

import pickle
import struct
import warnings
from pathlib import Path
from typing import Any

import torch

from kanlit.errors import ConfigurationError

__all__ = ["find_checkpoint", "read_checkpoint", "resolve_checkpoint"]


def resolve_checkpoint(name: str, root: Path) -> Path | None:
    """The file that a ``--ckpt_path`` means.

    Args:
        name: A path, or ``last`` or ``best``: the newest file of that name under ``root``.
        root: Where runs lie, the trainer's root directory.

    Returns:
        The path; ``None`` where ``last`` or ``best`` is asked for and there is none.

    Raises:
        ConfigurationError: A path at which there is no file.
    """
    if name in ("last", "best"):
        every = (root / "lightning_logs").glob(f"*/checkpoints/{name}*.ckpt")
        # A link may point to a file that is gone.
        found = sorted(filter(Path.is_file, every), key=lambda path: path.stat().st_mtime_ns)
        return found[-1] if found else None
    path = Path(name)
    if path.is_dir():
        raise ConfigurationError(f"checkpoint {name} is a folder: give the .ckpt file in it")
    if not path.is_file():
        raise ConfigurationError(
            f"checkpoint {name} does not exist: give the path of a .ckpt file, or last or best "
            f"for the newest under --trainer.default_root_dir"
        )
    return path


def find_checkpoint(name: str, root: Path) -> Path:
    """As :func:`resolve_checkpoint`, where there has to be one.

    Raises:
        ConfigurationError: There is none.
    """
    path = resolve_checkpoint(name, root)
    if path is None:
        raise ConfigurationError(
            f"no {name} checkpoint under {root / 'lightning_logs'}: train one first with kanlit fit"
        )
    return path


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
