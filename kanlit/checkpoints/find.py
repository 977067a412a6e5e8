"""Finds the checkpoint that the command line means."""

from __future__ import annotations

from pathlib import Path

from kanlit.errors import ConfigurationError

__all__ = ["find_checkpoint", "resolve_checkpoint"]


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
