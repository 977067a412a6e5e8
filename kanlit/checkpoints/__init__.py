"""Checkpoints on the disk: find, read, write, and rebuild a module from one."""

from kanlit.checkpoints.find import find_checkpoint, resolve_checkpoint
from kanlit.checkpoints.read import read_checkpoint
from kanlit.checkpoints.restore import (
    module_class,
    module_settings,
    restore_layers,
    restore_module,
)
from kanlit.checkpoints.resume import ResumeCheck
from kanlit.checkpoints.write import AtomicCheckpointIO

__all__ = [
    "AtomicCheckpointIO",
    "ResumeCheck",
    "find_checkpoint",
    "module_class",
    "module_settings",
    "read_checkpoint",
    "resolve_checkpoint",
    "restore_layers",
    "restore_module",
]
