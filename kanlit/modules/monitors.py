"""Checks before training that callbacks can work with a module."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import BatchSizeFinder, EarlyStopping, LearningRateFinder

from kanlit.compat import waits_for_validation
from kanlit.errors import ConfigurationError

__all__ = ["check_callbacks"]

_IN_TRAINING = ("train/loss", "train/sparsity")


def check_callbacks(module: LightningModule, logged: tuple[str, ...]) -> None:
    """Raises if a callback of the trainer cannot work with a module.

    Args:
        module: The module, attached to its trainer. Monitored metrics are checked only if the
            module uses kanlit's own training and validation steps.
        logged: Names of the metrics that its validation logs.

    Raises:
        ConfigurationError: A callback monitors a metric that is not logged, or tunes a setting
            that does not exist.
    """
    cls: Any = type(module)
    steps = (cls.training_step, cls.validation_step)
    known = all(step.__module__.startswith("kanlit.") for step in steps)
    names = (*logged, *_IN_TRAINING)
    validates = module.trainer.enable_validation
    for callback in module.trainer.callbacks:  # type: ignore[attr-defined]
        name = type(callback).__name__
        monitor = getattr(callback, "monitor", None)
        if known and isinstance(monitor, str) and monitor not in names:
            raise ConfigurationError(
                f"{name} monitors {monitor!r}, which is not logged: choose from {', '.join(names)}"
            )
        if (
            isinstance(callback, EarlyStopping)
            and not validates
            and (monitor in logged or waits_for_validation(callback))
        ):
            raise ConfigurationError(
                f"{name} checks {monitor!r} after validation, and this run has none: set "
                f"trainer.limit_val_batches above 0, or monitor train/loss with "
                f"check_on_train_epoch_end true"
            )
        if isinstance(callback, LearningRateFinder):
            raise ConfigurationError(
                f"{name} sets an attribute lr, which {cls.__name__} does not have: remove "
                f"{name} and set model.optimizer.lr"
            )
        data = getattr(module.trainer, "datamodule", None)
        if isinstance(callback, BatchSizeFinder) and getattr(data, "batch_size", None) is None:
            raise ConfigurationError(
                f"{name} needs an initial batch size, but training uses full batches: set "
                f"data.batch_size, or remove {name}"
            )
