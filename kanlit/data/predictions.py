"""Predictions as a table, in the user's units and under the user's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kanlit.data.base import TensorDataModule
from kanlit.errors import DivergenceError

__all__ = ["predict_rows", "predicted_rows", "prediction_table"]

_QUANTILE = 1.959964  # of the normal distribution, at 97.5 %


def prediction_table(
    inputs: Tensor,
    outputs: Tensor,
    input_names: Sequence[str],
    target_names: Sequence[str],
    label: str | None = None,
    outside: Tensor | None = None,
    deviations: Tensor | None = None,
) -> pd.DataFrame:
    """Inputs, predictions, and which rows are outside the training range.

    Args:
        inputs: ``(n, in)``, written as they are.
        outputs: ``(n, out)``, in the network's own dtype.
        input_names: A name for each input.
        target_names: A name for each output; for classification, the classes.
        label: Name of the class column; None for regression.
        outside: Whether each row ``(n,)`` is outside the training range; None if unknown.
        deviations: Standard deviation of each target ``(n, out)``, if known.

    Returns:
        A column for each input and ``NAME_predicted`` for each target; for classification the
        likeliest class and the probability of each. With ``deviations``, ``NAME_std``,
        ``NAME_lower`` and ``NAME_upper``: the ends of the interval that contains a new target with
        a probability of 95 %. If ``outside`` is given, a boolean column of
        that name; if an input has that name, it is called ``outside_training_range``.

    Raises:
        DivergenceError: A row with an output that is NaN or infinite.
    """
    finite = outputs.isfinite().all(1)
    if not bool(finite.all()):
        bad = (~finite).nonzero()[:, 0]
        raise DivergenceError(
            f"{len(bad)} of {len(outputs)} rows have NaN or infinite predictions, first in row "
            f"{int(bad[0]) + 1}: check its inputs, or train again; no predictions were written"
        )
    given = pd.DataFrame(inputs.numpy(), columns=list(input_names))
    # In the network's dtype: cast to float64, a float32 value would print spurious digits.
    prefix, suffix = ("", "_predicted") if label is None else ("probability_", "")
    names = [f"{prefix}{name}{suffix}" for name in target_names]
    predicted = pd.DataFrame(outputs.numpy(), columns=names)
    if label is not None:
        likeliest = [target_names[number] for number in outputs.argmax(1).tolist()]
        predicted.insert(0, f"{label}_predicted", likeliest)
    if deviations is not None:
        spreads = zip(target_names, outputs.unbind(1), deviations.unbind(1), strict=True)
        for name, mean, std in spreads:
            predicted[f"{name}_std"] = std.numpy()
            predicted[f"{name}_lower"] = (mean - _QUANTILE * std).numpy()
            predicted[f"{name}_upper"] = (mean + _QUANTILE * std).numpy()
    table = pd.concat([given, predicted], axis=1)
    if outside is not None:
        flag = "outside" if "outside" not in input_names else "outside_training_range"
        table[flag] = outside.numpy()
    return table


def predicted_rows(
    data: TensorDataModule,
    predictions: Sequence[Any],
    gather: Callable[[Tensor], Tensor] = lambda rows: rows,
) -> tuple[Tensor, Tensor]:
    """The prediction inputs of a data module and the outputs, ``(n, in)`` and ``(n, out)``.

    Args:
        data: The data module, whose inputs are in order.
        predictions: Batches ``(n, out)`` of this rank.
        gather: Joins the rows ``(n, …)`` of all ranks.
    """
    # In the batches' dtype: cast to float64, a float32 value would print spurious digits.
    outputs = torch.cat(list(predictions)).cpu()
    batches = (batch for batch in data.predict_dataloader() if isinstance(batch, tuple))
    inputs = torch.cat([batch[0] for batch in batches])
    rows = gather(torch.cat([inputs, outputs.to(inputs.device)], dim=1)).cpu()
    known, found = rows.split([inputs.shape[1], outputs.shape[1]], dim=1)
    return known, found


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
