"""Writes predictions as a table, in the user's units and under the user's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kanlit.data.base import TensorDataModule
from kanlit.data.tables.writer import write_table
from kanlit.errors import DivergenceError
from kanlit.scaling import Columns

__all__ = ["predict_rows", "prediction_table", "row_table", "write_predictions"]


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
    known, found = rows.split([data.in_features, rows.shape[1] - data.in_features], dim=1)
    given = pd.DataFrame(known.numpy(), columns=list(data.input_names))
    return pd.concat([given, _predicted(data.target_names, data.class_label, found)], axis=1)


def _predicted(targets: Sequence[str], label: str | None, outputs: Tensor) -> pd.DataFrame:
    """``NAME_predicted`` of each target; of classes the likeliest, and the probability of each.

    Raises:
        DivergenceError: A row with an output that is NaN or infinite.
    """
    finite = outputs.isfinite().all(1)
    if not bool(finite.all()):
        bad = (~finite).nonzero()[:, 0]
        raise DivergenceError(
            f"{len(bad)} of {len(outputs)} rows have predictions that are NaN or infinite, the "
            f"first is row {int(bad[0]) + 1}: check its inputs, or train anew; nothing is written"
        )
    if label is None:
        return pd.DataFrame(outputs.numpy(), columns=[f"{name}_predicted" for name in targets])
    table = pd.DataFrame(outputs.numpy(), columns=[f"probability_{name}" for name in targets])
    likeliest = [targets[number] for number in outputs.argmax(1).tolist()]
    table.insert(0, f"{label}_predicted", likeliest)
    return table


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


def predict_rows(
    predict: Callable[[Tensor], Tensor], inputs: Tensor, dtype: torch.dtype, rows: int = 4096
) -> Tensor:
    """Predictions ``(n, out)`` for ``inputs`` ``(n, in)``, some rows at a time.

    Args:
        predict: ``(rows, in)`` to ``(rows, out)``.
        inputs: Of any type.
        dtype: What ``predict`` takes.
        rows: At a time; what a network holds between its layers grows with them.
    """
    return torch.cat([predict(chunk.to(dtype)) for chunk in inputs.split(rows)])


def row_table(columns: Columns, inputs: Tensor, predictions: Tensor) -> pd.DataFrame:
    """Inputs as they were read, predictions, and which rows leave the training range.

    Args:
        columns: Names, and the training range of the inputs.
        inputs: ``(n, in)``, float64.
        predictions: ``(n, out)``, in the network's own type.

    Returns:
        A column for each input, ``NAME_predicted`` for each target (of classes the likeliest, under
        its label, and the probability of each), and the truth values ``outside``: some input of
        the row is outside its training range. Where a column of the user's has that name, it is
        ``outside_training_range``.
    """
    outside = columns.is_outside(inputs.to(predictions.dtype))
    flag = "outside" if "outside" not in columns.inputs else "outside_training_range"
    return pd.concat(
        [
            pd.DataFrame(inputs.numpy(), columns=list(columns.inputs)),
            # In the network's own type: float32 widened would print digits it does not have.
            _predicted(columns.targets, columns.label, predictions),
            pd.DataFrame({flag: outside.numpy()}),
        ],
        axis=1,
    )
