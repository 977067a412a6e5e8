"""Checkpoint files: find, read, write, and restore modules from them."""

from kanlit.checkpoints.carry import carry_over
from kanlit.checkpoints.find import (
    find_checkpoint,
    folder_of,
    named_checkpoint,
    newest_checkpoint,
)
from kanlit.checkpoints.read import read_checkpoint
from kanlit.checkpoints.record import RunRecord, default_place, runs_in
from kanlit.checkpoints.restore import (
    module_class,
    module_settings,
    recorded_equation,
    restore_equation,
    restore_layers,
    restore_module,
    restore_network,
)
from kanlit.checkpoints.resume import ResumeCheck
from kanlit.checkpoints.write import AtomicCheckpointIO

__all__ = [
    "AtomicCheckpointIO",
    "ResumeCheck",
    "RunRecord",
    "carry_over",
    "default_place",
    "find_checkpoint",
    "folder_of",
    "module_class",
    "module_settings",
    "named_checkpoint",
    "newest_checkpoint",
    "read_checkpoint",
    "recorded_equation",
    "restore_equation",
    "restore_layers",
    "restore_module",
    "restore_network",
    "runs_in",
]
