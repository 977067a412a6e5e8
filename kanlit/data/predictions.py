"""Writes predictions as a table, in the user's units and with the user's column names."""

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
    """A table of the inputs and their predictions.

    For classes, it has the most likely class and the probability of each class.

    Args:
        data: Provides the prediction inputs in order, and the column names.
        predictions: Batches ``(n, out)`` of this rank.
        gather: Gathers the rows ``(n, …)`` of all ranks.
    """
    # In the batches' dtype: cast to float64, a float32 value would print spurious digits.
    outputs = torch.cat(list(predictions)).cpu()
    batches = (batch for batch in data.predict_dataloader() if isinstance(batch, tuple))
    inputs = torch.cat([batch[0] for batch in batches])
    rows = gather(torch.cat([inputs, outputs.to(inputs.device)], dim=1)).cpu()
    known, found = rows.split([data.in_features, rows.shape[1] - data.in_features], dim=1)
    given = pd.DataFrame(known.numpy(), columns=list(data.input_names))
    return pd.concat([given, _predicted(data.target_names, data.class_label, found)], axis=1)


def _predicted(targets: Sequence[str], label: str | None, outputs: Tensor) -> pd.DataFrame:
    """A column ``NAME_predicted`` per target; for classes, the most likely and all probabilities.

    Raises:
        DivergenceError: An output is NaN or infinite.
    """
    finite = outputs.isfinite().all(1)
    if not bool(finite.all()):
        bad = (~finite).nonzero()[:, 0]
        raise DivergenceError(
            f"{len(bad)} of {len(outputs)} rows have NaN or infinite predictions, first in row "
            f"{int(bad[0]) + 1}: check its inputs, or train again; no predictions were written"
        )
    if label is None:
        return pd.DataFrame(outputs.numpy(), columns=[f"{name}_predicted" for name in targets])
    table = pd.DataFrame(outputs.numpy(), columns=[f"probability_{name}" for name in targets])
    likeliest = [targets[number] for number in outputs.argmax(1).tolist()]
    table.insert(0, f"{label}_predicted", likeliest)
    return table


def write_predictions(data: TensorDataModule, predictions: Sequence[Any], path: Path) -> int:
    """Writes a CSV file of inputs and predictions atomically.

    Args:
        data: Provides the prediction inputs in order, and the column names.
        predictions: Batches ``(n, out)`` for all inputs.
        path: Output path; missing folders are created.

    Returns:
        The number of rows.
    """
    table = prediction_table(data, predictions)
    write_table(table, path)
    return len(table)


def predict_rows(
    predict: Callable[[Tensor], Tensor], inputs: Tensor, dtype: torch.dtype, rows: int = 4096
) -> Tensor:
    """Predictions ``(n, out)`` for ``inputs`` ``(n, in)``, in chunks of rows.

    Args:
        predict: Maps ``(rows, in)`` to ``(rows, out)``.
        inputs: The inputs, of any dtype.
        dtype: The dtype that ``predict`` needs.
        rows: Rows per chunk, to bound the memory.
    """
    return torch.cat([predict(chunk.to(dtype)) for chunk in inputs.split(rows)])


def row_table(columns: Columns, inputs: Tensor, predictions: Tensor) -> pd.DataFrame:
    """A table of inputs, predictions and a flag for rows outside the training range.

    Args:
        columns: Names of the columns, and the training range of the inputs.
        inputs: ``(n, in)``, float64.
        predictions: ``(n, out)``, in the network's dtype.

    Returns:
        One column per input, ``NAME_predicted`` per target (for classes, the most likely class
        and the probability of each), and the Boolean column ``outside``: whether an input of the
        row is outside its training range. If an input has the name ``outside``, the flag is called
        ``outside_training_range``.
    """
    outside = columns.is_outside(inputs.to(predictions.dtype))
    flag = "outside" if "outside" not in columns.inputs else "outside_training_range"
    return pd.concat(
        [
            pd.DataFrame(inputs.numpy(), columns=list(columns.inputs)),
            # In the network's dtype: cast to float64, a float32 value would print spurious digits.
            _predicted(columns.targets, columns.label, predictions),
            pd.DataFrame({flag: outside.numpy()}),
        ],
        axis=1,
    )
