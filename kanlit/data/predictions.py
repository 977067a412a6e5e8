"""Writes predictions as a table, in the user's units and under the user's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kanlit.data.base import TensorDataModule
from kanlit.data.classes import ClassData
from kanlit.files import written_whole

__all__ = ["prediction_table", "write_predictions", "write_table"]


def prediction_table(
    data: TensorDataModule,
    predictions: Sequence[Any],
    gather: Callable[[Tensor], Tensor] = lambda rows: rows,
) -> pd.DataFrame:
    """The inputs and what was predicted for them, row by row.

    Of classes that is the likeliest, under its label, and the probability of each.

    Args:
        data: Its prediction inputs, in order, and its names.
        predictions: Batches ``(n, out)`` of this process.
        gather: Puts the rows ``(n, …)`` of all processes together.
    """
    # In the batches' own type: float32 prints as the user typed it, widened it would not.
    outputs = torch.cat(list(predictions)).cpu()
    batches = (batch for batch in data.predict_dataloader() if isinstance(batch, tuple))
    inputs = torch.cat([batch[0] for batch in batches])
    rows = gather(torch.cat([inputs, outputs.to(inputs.device)], dim=1)).cpu()
    predicted = "probability_{}" if isinstance(data, ClassData) else "{}_predicted"
    names = [*data.input_names, *(predicted.format(name) for name in data.target_names)]
    table = pd.DataFrame(rows.numpy(), columns=names)
    if isinstance(data, ClassData):
        likeliest = rows[:, data.in_features :].argmax(1).tolist()
        labels = [data.classes[number] for number in likeliest]
        table.insert(data.in_features, f"{data.label}_predicted", labels)
    return table


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a CSV, whole or not at all; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as unfinished:
        table.to_csv(unfinished, index=False)


def write_predictions(data: TensorDataModule, predictions: Sequence[Any], path: Path) -> int:
    """Writes a CSV of inputs and predictions, whole or not at all.

    Args:
        data: Its prediction inputs, in order, and its names.
        predictions: Batches ``(n, out)`` of all of them.
        path: Where to; folders are made.

    Returns:
        The number of rows.
    """
    table = prediction_table(data, predictions)
    write_table(table, path)
    return len(table)
