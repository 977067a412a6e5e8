"""Checkpoints: the best on validation, and the newest whatever its worth."""

from __future__ import annotations

import os
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from kanlit.errors import ConfigurationError

__all__ = ["Checkpoint"]


class Checkpoint(ModelCheckpoint):
    """Keeps ``best.ckpt``, the best on validation, and ``last.ckpt``, the newest.

    Lightning's own ``save_last`` is a copy of the newest checkpoint that was among the best; this
    one is where the run stands, so that ``fit --ckpt_path last`` goes on from there and the
    weights at the end of training are in it. Files are written whole or not at all.

    Args:
        monitor: Metric that decides which is best.
        filename: Name of the best checkpoint, without ``.ckpt``.
        every_n_epochs: The newest is saved after so many epochs, and at the end of training.
        **kwargs: Passed on to Lightning's ModelCheckpoint.

    Raises:
        ConfigurationError: ``every_n_epochs`` under 1.
    """

    def __init__(
        self,
        monitor: str = "val/loss",
        filename: str = "best",
        every_n_epochs: int = 100,
        **kwargs: Any,
    ) -> None:
        if every_n_epochs < 1:
            raise ConfigurationError(f"every_n_epochs must be at least 1, got {every_n_epochs}")
        settings: dict[str, Any] = {
            "auto_insert_metric_name": False,
            "enable_version_counter": False,
            "save_on_train_epoch_end": False,
            **kwargs,
        }
        super().__init__(monitor=monitor, filename=filename, **settings)
        self.newest_every_n_epochs = every_n_epochs
        self._newest_at = -1
        self.best_step = -1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        before = self.best_model_score
        super().on_validation_end(trainer, pl_module)
        if self.best_model_score is not before:
            self.best_step = trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if (trainer.current_epoch + 1) % self.newest_every_n_epochs == 0:
            self._save_newest(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self._save_newest(trainer)

    def _save_newest(self, trainer: Trainer) -> None:
        if self.dirpath is None or trainer.global_step == self._newest_at:
            return
        self._newest_at = trainer.global_step
        self.last_model_path = os.path.join(self.dirpath, "last.ckpt")
        trainer.save_checkpoint(self.last_model_path, self.save_weights_only)
