"""Warnings, notifications and scalars of callbacks that change a network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.utilities import rank_zero_only

from kanlit.errors import ConfigurationError

__all__ = ["log_scalars", "notify", "now", "refuse_averaging", "warn"]


def refuse_averaging(trainer: Trainer, what: str) -> None:
    """Raises if a callback of the trainer averages weights.

    Args:
        trainer: The trainer with the callbacks.
        what: What they would average, for the message.

    Raises:
        ConfigurationError: A callback averages weights.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, (WeightAveraging, StochasticWeightAveraging)):
            raise ConfigurationError(
                f"{type(callback).__name__} averages {what}: remove one of the two callbacks"
            )


def notify(trainer: Trainer, module: LightningModule, hook: str, *args: Any) -> None:
    """Calls a hook of all callbacks that define it."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        method = getattr(callback, hook, None)
        if method is not None:
            method(trainer, module, *args)


def log_scalars(trainer: Trainer, scalars: Mapping[str, float]) -> None:
    """Logs to every logger directly, since ``module.log`` is not allowed in some hooks."""
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            logger.log_metrics(dict(scalars), step=trainer.global_step)


@rank_zero_only
def warn(message: str, file: str) -> None:
    """Warns every time, where ``warnings.warn`` would drop repeated messages; filters apply.

    Args:
        message: The message.
        file: ``__file__`` of the caller.
    """
    module = f"kanlit.callbacks.{Path(file).stem}"
    warnings.warn_explicit(message, UserWarning, file, 0, module=module)


def now(trainer: Trainer) -> str:
    """The current epoch and step, for messages."""
    epoch, step = trainer.current_epoch, trainer.global_step
    return f"epoch {epoch}" if epoch == step else f"epoch {epoch}, step {step}"
