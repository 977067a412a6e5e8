"""Weights and grids that did best on validation, kept through stages and given at the end."""

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
    """Lets a run end no worse on validation than it ever was.

    After each validation weights, knots and G are kept if the metric is the lowest so far. They
    are put back before a grid adaptation or a pruning, so that each stage begins with the best
    that the stages before it found, and at the end of training: an extension that did not pay on
    validation is gone, with its larger G. The optimizer then starts anew, for its moments belong to
    the place that is left. After a pruning the search starts anew: a smaller network is not to lose
    to the larger one it came from. ``last.ckpt`` at the end of training, the test and predictions
    have the best.

    Args:
        monitor: Metric that validation logs; the lower the better.

    Raises:
        ConfigurationError: A run without validation, or one that does not log the metric.
    """

    def __init__(self, monitor: str = "val/loss") -> None:
        self.monitor = monitor
        self.best: float | None = None
        self.best_epoch = -1
        self._kept: dict[str, Tensor] = {}
        self._at = -1  # step at which the module was last equal to what is kept

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Before a checkpoint is loaded. A trainer that has stepped already goes on.
        if stage == "fit" and trainer.global_step == 0:
            self._forget()

    def _forget(self) -> None:
        self.best, self.best_epoch, self._kept, self._at = None, -1, {}, -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # From 1.0: the share of the validation batches, or how many of them.
        if not trainer.enable_validation:
            raise ConfigurationError(
                "KeepBest needs validation data and limit_val_batches above 0: give them, or leave "
                "KeepBest out"
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        metric = trainer.callback_metrics.get(self.monitor)
        if metric is None:
            known = ", ".join(sorted(map(str, trainer.callback_metrics)))
            raise ConfigurationError(
                f"KeepBest watches {self.monitor!r}, which validation does not log: set monitor to "
                f"one of {known}"
            )
        value = float(metric)
        if math.isfinite(value) and (self.best is None or value < self.best):
            self.best, self.best_epoch = value, trainer.current_epoch
            self._at = trainer.global_step
            self._kept = {k: v.detach().clone() for k, v in pl_module.state_dict().items()}

    def before_grid_adaptation(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called by :class:`~kanlit.GridAdaptationCallback`: gives the next stage the best."""
        self._put_back(trainer, pl_module)

    def on_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, report: object
    ) -> None:
        self._at = -1  # no step was taken, but the weights are others

    def before_pruning(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called by :class:`~kanlit.PruningCallback`: it prunes the best."""
        self._put_back(trainer, pl_module)

    def on_pruning(self, trainer: Trainer, pl_module: LightningModule, report: object) -> None:
        self._forget()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._put_back(trainer, pl_module):
            pl_module.print(
                f"weights of epoch {self.best_epoch} put back: best on validation, "
                f"{self.monitor} {self.best:.3e}"
            )

    def _put_back(self, trainer: Trainer, module: LightningModule) -> bool:
        """Whether the module had moved from what is kept."""
        if not self._kept or self._at == trainer.global_step:
            return False
        with unwrapped(trainer), torch.no_grad():
            module.load_state_dict(self._kept)
        for optimizer in trainer.optimizers:
            forget(optimizer)
        self._at = trainer.global_step
        return True

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "kept": self._kept,
            "at": self._at,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
        self._kept, self._at = state_dict["kept"], state_dict["at"]
