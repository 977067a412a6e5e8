"""Writes predictions as a table, in the user's units and under the user's names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from kanlit.data.base import TensorDataModule

__all__ = ["write_predictions"]


def write_predictions(data: TensorDataModule, predictions: Sequence[Any], path: Path) -> int:
    """Writes a CSV of inputs and predictions, whole or not at all.

    Args:
        data: Its prediction inputs, in order, and its names.
        predictions: Batches ``(n, out)``.
        path: Where to; folders are made.

    Returns:
        The number of rows.
    """
    # In the batches' own type: float32 prints as the user typed it, widened it would not.
    outputs = torch.cat(list(predictions)).cpu()
    batches = (batch for batch in data.predict_dataloader() if isinstance(batch, tuple))
    inputs = torch.cat([batch[0] for batch in batches]).cpu()
    names = [*data.input_names, *(f"{name}_predicted" for name in data.target_names)]
    table = pd.DataFrame(torch.cat([inputs, outputs], dim=1).numpy(), columns=names)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        table.to_csv(unfinished, index=False)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return len(table)
