"""Warns of columns whose scale is far from 1."""

from __future__ import annotations

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

__all__ = ["check_start"]

_MOST = 1e3


def check_start(errors: Tensor, targets: Tensor) -> None:
    """Warns if the loss of the untrained network is far above the variance of the targets.

    Args:
        errors: Prediction minus target of each row ``(n, out)``, before training.
        targets: The targets ``(n, out)``.
    """
    variance = float(targets.var(0, correction=0).mean())
    loss = float(errors.square().mean())
    if variance > 0 and loss > _MOST * variance:
        rank_zero_warn(
            f"the untrained network's loss is {loss / variance:.1e} times the variance of the "
            f"targets, so columns are far from mean 0 and scale 1: set standardize to true if the "
            f"data have this setting, or scale the columns"
        )
