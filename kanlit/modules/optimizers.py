"""Whether an optimizer and its learning-rate scheduler work with the trainer's settings."""

from __future__ import annotations

import inspect
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch.optim import Optimizer

from kanlit.errors import ConfigurationError

__all__ = ["check_optimizer"]


def check_optimizer(optimizer: Optimizer, scheduler: Any, trainer: Trainer) -> None:
    """Refuses settings that an optimizer or a scheduler has no use for, or that break it.

    Args:
        optimizer: Of the parameters.
        scheduler: Of its learning rate, or none.
        trainer: Its clipping, accumulation, precision and length are looked at.

    Raises:
        ConfigurationError: One that evaluates the loss more than once a step, with gradients
            that are clipped or accumulated; one of least squares with a scheduler or in float16;
            a scheduler that ends before the run does.
    """
    name = type(optimizer).__name__
    squares = getattr(optimizer, "needs_residuals", False)
    if squares and scheduler is not None:
        raise ConfigurationError(f"{name} has no learning rate: leave lr_scheduler out")
    if squares and trainer.precision == "16-mixed":
        raise ConfigurationError(f"{name} needs trainer.precision 64-true or 32-true, got 16-mixed")
    if squares or _evaluates_often(optimizer):
        _check_whole_gradients(name, trainer, squares)
    steps, epochs = getattr(scheduler, "total_steps", None), trainer.max_epochs
    if steps is not None and epochs is not None and steps < epochs:
        raise ConfigurationError(
            f"{type(scheduler).__name__} has total_steps {steps}, but the run has {epochs} epochs, "
            f"and it steps once an epoch: set lr_scheduler.total_steps to {epochs}"
        )


def _evaluates_often(optimizer: Optimizer) -> bool:
    """Whether a step cannot do without a closure, as that of L-BFGS."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _check_whole_gradients(name: str, trainer: Trainer, squares: bool) -> None:
    if trainer.gradient_clip_val:
        why = "damps its steps itself" if squares else "needs gradients that agree with the loss"
        raise ConfigurationError(f"{name} {why}: leave trainer.gradient_clip_val out")
    accumulates = any(
        isinstance(callback, GradientAccumulationScheduler)
        for callback in trainer.callbacks  # type: ignore[attr-defined]
    )
    if trainer.accumulate_grad_batches != 1 or accumulates:
        what = "GradientAccumulationScheduler" if accumulates else "trainer.accumulate_grad_batches"
        raise ConfigurationError(
            f"{name} steps on one batch at a time, however large: leave {what} out and raise "
            f"data.batch_size"
        )
