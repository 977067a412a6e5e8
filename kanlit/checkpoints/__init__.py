"""Checkpoints on the disk: find, read, write, and rebuild a module from one."""

from kanlit.checkpoints.find import find_checkpoint, resolve_checkpoint
from kanlit.checkpoints.read import read_checkpoint
from kanlit.checkpoints.restore import restore_module
from kanlit.checkpoints.write import AtomicCheckpointIO

__all__ = [
    "AtomicCheckpointIO",
    "find_checkpoint",
    "read_checkpoint",
    "resolve_checkpoint",
    "restore_module",
]
