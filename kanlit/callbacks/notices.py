"""What callbacks that change a network say to the user and to other callbacks."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.utilities import rank_zero_only

from kanlit.errors import ConfigurationError

__all__ = ["now", "refuse_averaging", "tell", "warn"]


def refuse_averaging(trainer: Trainer, what: str) -> None:
    """Refuses callbacks that average weights.

    Args:
        trainer: Has the callbacks.
        what: They would average, as the message says it.

    Raises:
        ConfigurationError: There is one.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, (WeightAveraging, StochasticWeightAveraging)):
            raise ConfigurationError(
                f"{type(callback).__name__} averages {what}: leave one of the two out"
            )


def tell(trainer: Trainer, module: LightningModule, hook: str, *what: Any) -> None:
    """Calls the hook of those callbacks that have it."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        told = getattr(callback, hook, None)
        if told is not None:
            told(trainer, module, *what)


@rank_zero_only
def warn(message: str, file: str) -> None:
    """Unlike ``warnings.warn`` not left out where the same was said before; filters hold.

    Args:
        message: What is said.
        file: ``__file__`` of who says it.
    """
    module = f"kanlit.callbacks.{Path(file).stem}"
    warnings.warn_explicit(message, UserWarning, file, 0, module=module)


def now(trainer: Trainer) -> str:
    epoch, step = trainer.current_epoch, trainer.global_step
    return f"epoch {epoch}" if epoch == step else f"epoch {epoch}, step {step}"
