"""Calibrates the class probabilities of a network, once it is trained."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from kanlit.callbacks.distributed import gather_rows
from kanlit.callbacks.training_samples import evaluating
from kanlit.errors import ConfigurationError
from kanlit.modules import ClassificationModule

__all__ = ["Calibrate"]


class Calibrate(Callback):
    """Sets the temperature of class probabilities on the validation rows, at the end of training.

    See :func:`~kanlit.modules.calibration.best_temperature`. Put it after KeepBest. The final
    ``last.ckpt`` has the temperature; that of ``best.ckpt`` is 1.

    Raises:
        ConfigurationError: The module is not a ClassificationModule, or there is no validation.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not isinstance(pl_module, ClassificationModule):
            raise ConfigurationError(
                f"Calibrate needs a ClassificationModule, got {type(pl_module).__name__}: remove "
                f"Calibrate"
            )
        if not trainer.enable_validation:
            raise ConfigurationError(
                "Calibrate needs validation data and limit_val_batches above 0: provide both, or "
                "remove Calibrate"
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ClassificationModule)
        if trainer.val_dataloaders is None:  # interrupted before the first validation
            return
        found = []
        with evaluating(pl_module):
            for batch in trainer.val_dataloaders:
                converted = trainer.precision_plugin.convert_input(batch)
                x, y = trainer.strategy.batch_to_device(converted)
                found.append((pl_module.logits(x), y))
        logits, y = (gather_rows(pl_module, torch.cat(each)) for each in zip(*found, strict=True))
        pl_module.calibrate(logits, y)
        temperature = float(pl_module.temperature)
        pl_module.print(f"calibrated on {len(y)} validation rows: temperature {temperature:.3g}")
