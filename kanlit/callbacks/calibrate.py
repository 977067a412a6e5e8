"""Calibrates the class probabilities of a network, once it is trained."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from kanlit.callbacks.distributed import gather_rows
from kanlit.callbacks.training_samples import evaluating
from kanlit.errors import ConfigurationError
from kanlit.modules import ClassificationModule

__all__ = ["Calibrate"]


class Calibrate(Callback):
    """Sets the temperature of class probabilities on the validation rows, at the end of training.

    See :func:`~kanlit.modules.classification.best_temperature`. Put it after KeepBest. A checkpoint
    written during training, such as ``best.ckpt``, has the best temperature of the last validation
    before it.

    Raises:
        ConfigurationError: The module is not a ClassificationModule, or there is no validation.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[Tensor, Tensor]] = []  # logits and targets of a validation
        self._factor = 1.0  # of the module's temperature in the next checkpoint

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
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

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seen = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._seen.append((outputs, batch[1]))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            assert isinstance(pl_module, ClassificationModule)
            self._factor = pl_module.best_temperature(*_rows(pl_module, self._seen))

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert isinstance(pl_module, ClassificationModule)
        checkpoint["state_dict"]["temperature"] = self._factor * pl_module.temperature

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
        logits, y = _rows(pl_module, found)
        pl_module.temperature *= pl_module.best_temperature(logits, y)
        self._factor = 1.0
        temperature = float(pl_module.temperature)
        pl_module.print(f"calibrated on {len(y)} validation rows: temperature {temperature:.3g}")


def _rows(module: LightningModule, batches: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Logits and targets of the batches of all ranks."""
    logits, y = (gather_rows(module, torch.cat(each)) for each in zip(*batches, strict=True))
    return logits, y
