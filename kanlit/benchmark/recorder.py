"""Records the loss curve of a benchmark run and the time spent on adaptations."""

from __future__ import annotations

from typing import Any, NamedTuple

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from kanlit.adaptation import AdaptationReport, kan_layers

__all__ = ["Point", "RunRecorder"]

_POINTS = 100


class Point(NamedTuple):
    """Training loss at the last step of an epoch, G, and whether grids were adapted before it."""

    epoch: int
    train_loss: float
    grid_size: int
    adapted: bool


class RunRecorder(Callback):
    """Records about a hundred points of the loss and the time spent on grid adaptations.

    Attributes:
        adaptation_seconds: Time of all adaptations so far, including those rolled back.
    """

    def __init__(self) -> None:
        self.adaptation_seconds = 0.0
        self._losses: dict[int, tuple[Tensor, int, bool]] = {}
        self._every = 1
        self._last = -1
        self._adapted_at = -1

    @property
    def curve(self) -> list[Point]:
        """The points so far, including those after each adaptation and of the last epoch."""
        return [
            Point(epoch, float(loss), grid_size, adapted)
            for epoch, (loss, grid_size, adapted) in self._losses.items()
        ]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epochs = trainer.max_epochs or -1
        self._every = max(1, epochs // _POINTS)
        self._last = epochs - 1

    def on_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> None:
        self._adapted_at = trainer.current_epoch
        self.adaptation_seconds += report.seconds

    def on_grid_adaptation_failure(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> None:
        self.adaptation_seconds += report.seconds

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        epoch = trainer.current_epoch
        adapted = epoch == self._adapted_at
        if epoch % self._every == 0 or adapted or epoch == self._last:
            # Kept as a tensor, so that a GPU is not synchronized.
            grid_size = max(layer.grid_size for layer in kan_layers(pl_module).values())
            self._losses[epoch] = (outputs["loss"].detach(), grid_size, adapted)
