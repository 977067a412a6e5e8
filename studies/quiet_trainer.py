"""A trainer that prints and writes nothing, for studies that train in their own process."""

from __future__ import annotations

from collections.abc import Sequence

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

__all__ = ["quiet_trainer"]


def quiet_trainer(epochs: int, validate_every: int, callbacks: Sequence[Callback]) -> Trainer:
    """Trains in float64 on the CPU, with a validation every so many epochs."""
    return Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        precision="64-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        check_val_every_n_epoch=validate_every,
        callbacks=list(callbacks),
    )
