"""Stops training and testing when a loss, metric or weight is not finite."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from kanlit.compat import trainer_of
from kanlit.errors import DivergenceError

__all__ = ["check_loss", "check_metrics", "check_weights"]


def check_loss(module: LightningModule, loss: Tensor) -> None:
    """Stops training at the first loss that is NaN or infinite, before the backward pass.

    On a single CPU every step is checked. On other devices and with several ranks, where a check
    synchronizes, only logged steps are checked.

    Raises:
        DivergenceError: The loss of a rank is not finite.
    """
    trainer = module.trainer
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    free = loss.device.type == "cpu" and trainer.world_size == 1
    if not free and (trainer.global_step + 1) % every:
        return
    # In float16 a scaled loss may overflow; the gradient scaler then skips the step.
    bad = loss.isnan() if trainer.precision == "16-mixed" else ~loss.isfinite()
    if trainer.strategy.reduce_boolean_decision(bool(bad), all=False):
        at = f"epoch {trainer.current_epoch}, step {trainer.global_step}"
        raise DivergenceError(f"the loss is {loss.item()} at {at}: {_advice(module)}")


def check_metrics(module: LightningModule) -> None:
    """Raises if a validation or test metric is NaN, or a validation or test loss is infinite.

    Raises:
        DivergenceError: A metric is NaN, or a loss is not finite.
    """
    for name, value in module.trainer.callback_metrics.items():
        # A relative error is infinite by definition if all targets are zero.
        bad = not bool(value.isfinite()) if name.endswith("loss") else bool(value.isnan())
        if bad and name.startswith(("val/", "test/")):
            step = module.trainer.global_step
            at = f" at step {step}" if module.trainer.state.fn == "fit" else ""
            raise DivergenceError(f"{name} is {float(value)}{at}: {_advice(module)}")


def check_weights(module: nn.Module, what: str) -> None:
    """Raises if a parameter of a module has NaN or infinite values.

    Args:
        module: The module whose parameters are checked.
        what: The consequence, for the message, such as "there is nothing to test".

    Raises:
        DivergenceError: A parameter has such values.
    """
    for name, parameter in module.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise DivergenceError(
                f"{name} has NaN or infinite values, so {what}: {_advice(module)}"
            )


def _advice(module: nn.Module) -> str:
    trainer = trainer_of(module)
    optimizers = [] if trainer is None else trainer.optimizers
    settings = optimizers[0].param_groups[0] if optimizers else {}
    if "lr" not in settings:
        return "train again with a smaller learning rate, or with trainer.precision 64-true"
    # L-BFGS needs unclipped gradients.
    searches = "line_search_fn" in settings
    also = "set line_search_fn to strong_wolfe" if searches else "set trainer.gradient_clip_val"
    return (
        f"training has diverged; lower the learning rate (it is {float(settings['lr']):.3g}), "
        f"{also}, or set trainer.precision to 64-true"
    )
