"""Stops training and tests as soon as their numbers are no longer finite."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from kanlit.compat import trainer_of
from kanlit.errors import DivergenceError

__all__ = ["check_loss", "check_metrics", "check_weights"]


def check_loss(module: LightningModule, loss: Tensor) -> None:
    """Stops training at the first loss that is NaN or infinite, before its gradient is taken.

    Looks at every step on a single CPU. Elsewhere, where looking makes the device or the other
    processes wait, it looks at the steps that are logged.

    Raises:
        DivergenceError: The loss of some process is not finite.
    """
    trainer = module.trainer
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    free = loss.device.type == "cpu" and trainer.world_size == 1
    if not free and (trainer.global_step + 1) % every:
        return
    # A scaled loss may overflow in float16: its scaler then skips the step.
    bad = loss.isnan() if trainer.precision == "16-mixed" else ~loss.isfinite()
    if trainer.strategy.reduce_boolean_decision(bool(bad), all=False):
        at = f"epoch {trainer.current_epoch}, step {trainer.global_step}"
        raise DivergenceError(f"the loss is {loss.item()} at {at}: {_advice(module)}")


def check_metrics(module: LightningModule) -> None:
    """Refuses metrics of a validation or a test that are NaN, and losses that are infinite.

    Raises:
        DivergenceError: There is one.
    """
    for name, value in module.trainer.callback_metrics.items():
        # A relative error is infinite by definition where all targets are zero.
        bad = not bool(value.isfinite()) if name.endswith("loss") else bool(value.isnan())
        if bad and name.startswith(("val/", "test/")):
            step = module.trainer.global_step
            at = f" at step {step}" if module.trainer.state.fn == "fit" else ""
            raise DivergenceError(f"{name} is {float(value)}{at}: {_advice(module)}")


def check_weights(module: nn.Module, what: str) -> None:
    """Refuses a module with a parameter that is NaN or infinite.

    Args:
        module: Its parameters are looked at.
        what: What is not done with them, as the message says it.

    Raises:
        DivergenceError: There is one.
    """
    for name, parameter in module.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise DivergenceError(
                f"{name} has values that are NaN or infinite, so {what}: {_advice(module)}"
            )


def _advice(module: nn.Module) -> str:
    trainer = trainer_of(module)
    optimizers = [] if trainer is None else trainer.optimizers
    settings = optimizers[0].param_groups[0] if optimizers else {}
    if "lr" not in settings:
        return "train anew with a smaller learning rate, or with trainer.precision 64-true"
    # Of L-BFGS, whose steps are not to be clipped.
    searches = "line_search_fn" in settings
    also = "take line_search_fn strong_wolfe" if searches else "set trainer.gradient_clip_val"
    return (
        f"training has diverged; lower the learning rate (it is {float(settings['lr']):.3g}), "
        f"{also}, or take trainer.precision 64-true"
    )
