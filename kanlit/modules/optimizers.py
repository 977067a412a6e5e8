"""Creates an optimizer and its learning-rate scheduler, and checks that they fit the trainer."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from kanlit.errors import ConfigurationError

__all__ = ["check_optimizer", "create_optimizer"]


def create_optimizer(
    make_optimizer: OptimizerCallable,
    make_scheduler: LRSchedulerCallable | None,
    parameters: Iterable[Parameter],
    trainer: Trainer,
) -> tuple[Optimizer, LRScheduler | ReduceLROnPlateau | None]:
    """Creates the optimizer and its scheduler with the user's settings.

    Args:
        make_optimizer: Creates the optimizer from the parameters.
        make_scheduler: Creates the scheduler from the optimizer.
        parameters: The parameters to train.
        trainer: The trainer, see :func:`check_optimizer`.

    Raises:
        ConfigurationError: A setting that the constructors refuse, or that does not fit the
            trainer.
    """
    try:
        optimizer: Optimizer = make_optimizer(parameters)
        squares = getattr(optimizer, "needs_residuals", False)
        scheduler = None if make_scheduler is None or squares else make_scheduler(optimizer)
    except ConfigurationError:
        raise
    except (ValueError, TypeError) as error:
        # Only torch constructors with the user's settings run in this block.
        raise ConfigurationError(
            f"cannot create the optimizer or lr_scheduler ({error}): correct its settings"
        ) from error
    check_optimizer(optimizer, make_scheduler if squares else scheduler, trainer)
    return optimizer, scheduler


def check_optimizer(optimizer: Optimizer, scheduler: Any, trainer: Trainer) -> None:
    """Raises if the optimizer or the scheduler cannot work with the trainer's settings.

    Args:
        optimizer: The optimizer of the parameters.
        scheduler: Its learning-rate scheduler, or None.
        trainer: The trainer, for gradient clipping and accumulation, precision and run length.

    Raises:
        ConfigurationError: Clipped or accumulated gradients with an optimizer that evaluates the
            loss more than once per step; a scheduler or float16 with a least-squares optimizer; a
            scheduler that ends before the run does.
    """
    name = type(optimizer).__name__
    squares = getattr(optimizer, "needs_residuals", False)
    if squares and scheduler is not None:
        raise ConfigurationError(f"{name} has no learning rate: remove lr_scheduler")
    if squares and trainer.precision == "16-mixed":
        raise ConfigurationError(f"{name} needs trainer.precision 64-true or 32-true, got 16-mixed")
    if squares or _evaluates_often(optimizer):
        _check_whole_gradients(name, trainer, squares)
    steps, epochs = getattr(scheduler, "total_steps", None), trainer.max_epochs
    if steps is not None and epochs is not None and steps < epochs:
        raise ConfigurationError(
            f"{type(scheduler).__name__} has total_steps {steps}, but the run has {epochs} epochs "
            f"and one scheduler step per epoch: set lr_scheduler.total_steps to {epochs}"
        )


def _evaluates_often(optimizer: Optimizer) -> bool:
    """Whether ``step`` requires a closure, as for L-BFGS."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _check_whole_gradients(name: str, trainer: Trainer, squares: bool) -> None:
    if trainer.gradient_clip_val:
        why = "damps its own steps" if squares else "needs the exact gradients of the loss"
        raise ConfigurationError(f"{name} {why}: remove trainer.gradient_clip_val")
    accumulates = any(
        isinstance(callback, GradientAccumulationScheduler)
        for callback in trainer.callbacks  # type: ignore[attr-defined]
    )
    if trainer.accumulate_grad_batches != 1 or accumulates:
        what = "GradientAccumulationScheduler" if accumulates else "trainer.accumulate_grad_batches"
        raise ConfigurationError(
            f"{name} takes each step on one batch and cannot accumulate gradients: remove {what} "
            f"and raise data.batch_size"
        )
