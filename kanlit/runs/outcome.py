"""What a training run has kept, and why it ended, as lines of its summary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from kanlit.callbacks import KeepBest, Refit
from kanlit.callbacks.training_samples import TrainingSamples, evaluating
from kanlit.modules import KANModule, PDEModule, RegressionModule

__all__ = ["end_of", "outcome_lines"]

_SAMPLES = 65536
_LARGE_GAP = 1e4  # validation loss over training loss
_C = TypeVar("_C", bound=Callback)


def outcome_lines(trainer: Trainer, module: KANModule) -> Iterator[str]:
    """Why training ended, which weights the module has, and whether they overfit."""
    yield f"stopped: {end_of(trainer)}"
    yield f"kept weights: {_kept_weights(trainer, module)}"
    if module.coefficients is not None:
        yield from module.coefficients.lines()
    yield from _residuals_of(trainer, module)
    yield from _gap_of(trainer, module)


def end_of(trainer: Trainer) -> str:
    """Why training ended."""
    epoch = trainer.current_epoch
    for callback in trainer.early_stopping_callbacks:
        if callback.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED:
            return (
                f"{callback.monitor} did not improve in {callback.patience} validations, "
                f"at epoch {epoch}"
            )
        if callback.stopping_reason is not EarlyStoppingReason.NOT_STOPPED:
            return f"{callback.stopping_reason_message} at epoch {epoch}"
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epoch:
        return f"max_epochs, {epoch}"
    if 0 <= trainer.max_steps <= trainer.global_step:
        return f"max_steps, {trainer.max_steps}, at epoch {epoch}"
    return f"at epoch {epoch}"


def _kept_weights(trainer: Trainer, module: KANModule) -> str:
    """Which weights the module now has."""
    keep, refit = _first(trainer, KeepBest), _first(trainer, Refit)
    if keep is None or keep.best is None:
        kept = "those of the last epoch"
    else:
        kept = f"best on validation, of epoch {keep.best_epoch} ({keep.monitor} {keep.best:.3e})"
    if refit is not None and refit.rows:
        kept += f", refitted on all {refit.rows} rows"
    if isinstance(module, RegressionModule) and module.freedom is not None:
        kept += f"; {module.freedom:.1f} effective degrees of freedom"
    return kept


def _residuals_of(trainer: Trainer, module: KANModule) -> Iterator[str]:
    """Residuals of an equation and its conditions by the kept weights; in one process only."""
    data: Any = getattr(trainer, "datamodule", None)
    if not isinstance(module, PDEModule) or data is None or trainer.world_size > 1:
        return
    with evaluating(module):
        blocks = module.residuals(next(iter(data.val_dataloader())))
    sizes = {name: float(block.values.square().mean().sqrt()) for name, block in blocks.items()}
    listed = ", ".join(f"{name} {size:.1e}" for name, size in sizes.items())
    yield f"residuals on validation points, root mean square: {listed}"


def _gap_of(trainer: Trainer, module: KANModule) -> Iterator[str]:
    """A warning if the training loss is far below the validation loss; in one process only."""
    if trainer.world_size > 1:  # their processes can no longer exchange losses
        return
    keep = _first(trainer, KeepBest)
    known = trainer.callback_metrics.get("val/loss") if keep is None else keep.best
    if known is None or (keep is not None and keep.monitor != "val/loss"):
        return
    loss = TrainingSamples(trainer, module, _SAMPLES).loss()
    assert loss is not None  # a KANModule has one
    training = float(loss())
    if float(known) > _LARGE_GAP * training:
        yield (
            f"overfitting: the training loss {training:.1e} is far below the validation loss "
            f"{float(known):.1e}; use more rows or points, or a smaller network or G"
        )


def _first(trainer: Trainer, cls: type[_C]) -> _C | None:
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return next((each for each in callbacks if isinstance(each, cls)), None)
