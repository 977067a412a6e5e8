"""What tests of several rooms train with."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

__all__ = ["trainer_for"]


def trainer_for(epochs: int | None, *callbacks: Callback, **settings: Any) -> Trainer:
    """A trainer on the CPU that prints nothing, and writes only what a callback writes."""
    quiet: dict[str, Any] = {
        "max_epochs": epochs,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": any(isinstance(each, ModelCheckpoint) for each in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
    }
    return Trainer(**{**quiet, **settings}, callbacks=list(callbacks))
