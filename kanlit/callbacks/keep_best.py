"""Keeps the weights and grids that are best on validation, and restores them."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from kanlit.adaptation.optimizer_state import forget
from kanlit.callbacks.distributed import unwrapped
from kanlit.errors import ConfigurationError

__all__ = ["KeepBest"]


class KeepBest(Callback):
    """Restores the weights and grids that were best on validation.

    After each validation, weights, knots and G are kept if the metric is the lowest so far. They
    are restored before each grid adaptation or pruning, so that each stage starts from the best
    state so far, and at the end of training. An extension that did not improve validation is
    thereby discarded, together with its larger G. If the last stage started from the same weights
    with the same G and the same full batch, restoring would only repeat it; training then continues
    from the current weights. Restoring resets the optimizer state, which
    belongs to the weights that are replaced; only strengths of penalties that the data have chosen
    stay. Pruning discards the kept state, so that the pruned
    network is not replaced by the larger one; so does each stage of Continuation or Horizon, whose
    validation loss is that of another equation. Testing, predictions and the final ``last.ckpt``
    use the restored weights.

    Args:
        monitor: Validation metric; lower is better.

    Raises:
        ConfigurationError: The run has no validation, or validation does not log the metric.
    """

    def __init__(self, monitor: str = "val/loss") -> None:
        self.monitor = monitor
        self.best: float | None = None
        self.best_epoch = -1
        self._kept: dict[str, Tensor] = {}
        self._at = -1  # last step at which the module equaled the kept state
        self._stage: list[int | None] = []  # best epoch and G that the last stage started with

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Called before a checkpoint is loaded. A trainer that has already stepped continues.
        if stage == "fit" and trainer.global_step == 0:
            self._forget()

    def _forget(self) -> None:
        self.best, self.best_epoch, self._kept, self._at = None, -1, {}, -1
        self._stage = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.enable_validation:
            raise ConfigurationError(
                "KeepBest needs validation data and limit_val_batches above 0: provide both, or "
                "remove KeepBest"
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        metric = trainer.callback_metrics.get(self.monitor)
        if metric is None:
            known = ", ".join(sorted(map(str, trainer.callback_metrics)))
            raise ConfigurationError(
                f"KeepBest monitors {self.monitor!r}, which validation does not log: set monitor "
                f"to one of {known}"
            )
        value = float(metric)
        if math.isfinite(value) and (self.best is None or value < self.best):
            self.best, self.best_epoch = value, trainer.current_epoch
            self._at = trainer.global_step
            self._kept = {k: v.detach().clone() for k, v in pl_module.state_dict().items()}

    def before_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, grid_size: int | None
    ) -> None:
        """Called by :class:`~kanlit.GridAdaptationCallback`: restores the best state."""
        stage = [self.best_epoch, grid_size]
        if stage == self._stage and _same_data(trainer):
            pl_module.print(
                f"epoch {trainer.current_epoch}: the last stage did not improve {self.monitor}; "
                f"training continues from its end"
            )
            return
        self._stage = stage
        self._restore_best(trainer, pl_module)

    def on_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, report: object
    ) -> None:
        self._at = -1  # no step was taken, but the weights have changed

    def before_window(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called by :class:`~kanlit.callbacks.TimeWindows`: the next starts from the best."""
        self._restore_best(trainer, pl_module)

    def before_pruning(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called by :class:`~kanlit.PruningCallback`: restores the best state."""
        self._restore_best(trainer, pl_module)

    def on_pruning(self, trainer: Trainer, pl_module: LightningModule, report: object) -> None:
        self._forget()

    def on_stage(self, trainer: Trainer, pl_module: LightningModule, stages: object) -> None:
        """Called by :class:`~kanlit.callbacks.Stages`: val/loss is now that of another equation."""
        self._forget()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._restore_best(trainer, pl_module):
            pl_module.print(
                f"restored the weights of epoch {self.best_epoch}, the best on validation: "
                f"{self.monitor} {self.best:.3e}"
            )

    def _restore_best(self, trainer: Trainer, module: LightningModule) -> bool:
        """Restores the kept state; returns whether the module differed from it."""
        if not self._kept or self._at == trainer.global_step:
            return False
        with unwrapped(trainer), torch.no_grad():
            module.load_state_dict(self._kept)
        for optimizer in trainer.optimizers:
            forget(optimizer, keep=getattr(optimizer, "lasting_state", ()))
        self._at = trainer.global_step
        return True

    def state_dict(self) -> dict[str, Any]:
        return {
            "monitor": self.monitor,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "kept": self._kept,
            "at": self._at,
            "stage": self._stage,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
        self._kept, self._at = state_dict["kept"], state_dict["at"]
        self._stage = state_dict["stage"]


def _same_data(trainer: Trainer) -> bool:
    """Whether each epoch is one step on the same samples."""
    draws = getattr(getattr(trainer, "datamodule", None), "redraw", None)
    return trainer.num_training_batches == 1 and draws is None
