"""Trains on all rows, once validation has done its part."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from kanlit.callbacks.distributed import unwrapped
from kanlit.errors import ConfigurationError
from kanlit.modules import RegressionModule
from kanlit.optim import LevenbergMarquardt

__all__ = ["Refit"]


class Refit(Callback):
    """Trains the network on the training and validation rows together, at the end of training.

    Size and strengths of the penalties are known by then, so few rows need not be left out. The
    final ``last.ckpt`` has the result; ``best.ckpt`` stays the best on validation. Put it after
    KeepBest. It needs a RegressionModule with LevenbergMarquardt and ``smoothness: auto``, and does
    nothing with another optimizer.

    Args:
        most_rows: Largest number of rows; with more, nothing is done.
        steps: Largest number of steps.

    Attributes:
        rows: Number of rows of the last refit; 0 if there was none.

    Raises:
        ConfigurationError: The module is not a RegressionModule.
    """

    def __init__(self, most_rows: int = 5000, steps: int = 20) -> None:
        self.most_rows = most_rows
        self.steps = steps
        self.rows = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not isinstance(pl_module, RegressionModule):
            raise ConfigurationError(
                f"Refit needs a RegressionModule, got {type(pl_module).__name__}: remove Refit"
            )
        self.rows = 0

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        (optimizer,) = trainer.optimizers
        assert isinstance(pl_module, RegressionModule)
        if not isinstance(optimizer, LevenbergMarquardt) or trainer.interrupted:
            return
        if optimizer.param_groups[0]["smoothness"] != "auto" or trainer.global_step == 0:
            return
        with unwrapped(trainer):
            self.rows = pl_module.refit(optimizer, self.steps, self.most_rows)
        if self.rows:
            pl_module.print(f"refitted on all {self.rows} rows, training and validation")
