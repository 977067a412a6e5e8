"""Metrics of predictions, from torchmetrics where it has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, R2Score

__all__ = ["RelativeL2Error", "TargetErrors"]


class RelativeL2Error(Metric):
    r"""Relative L2 error, the mean over outputs of

    .. math:: \frac{\lVert u_q - \hat u_q \rVert_2}{\lVert u_q \rVert_2}

    with u the target and û the prediction. Sums over batches and ranks are in float64.

    Args:
        num_outputs: Number of outputs q, at least 1.
        **kwargs: Passed to :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If ``num_outputs`` is below 1, or the shape of predictions or targets is not
            ``(n, num_outputs)``.

    Example:
        >>> metric = RelativeL2Error()
        >>> metric(torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0], [2.0]]))
        tensor(0.4472, dtype=torch.float64)
    """

    is_differentiable = True
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0

    squared_error: Tensor
    squared_target: Tensor

    def __init__(self, num_outputs: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_outputs < 1:
            raise ValueError(f"num_outputs must be at least 1, got {num_outputs}")
        self.num_outputs = num_outputs
        for state in ("squared_error", "squared_target"):
            zero = torch.zeros(num_outputs, dtype=torch.float64)
            self.add_state(state, default=zero, dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch of predictions and targets, both ``(n, num_outputs)``."""
        if preds.shape != target.shape or preds.ndim != 2 or preds.shape[1] != self.num_outputs:
            raise ValueError(
                f"RelativeL2Error expects predictions and targets (n, {self.num_outputs}), got "
                f"{tuple(preds.shape)} and {tuple(target.shape)}"
            )
        self.squared_error = self.squared_error + (preds - target).double().square().sum(0)
        self.squared_target = self.squared_target + target.double().square().sum(0)

    def compute(self) -> Tensor:
        """The error over all batches; infinite if a target is zero everywhere."""
        return self._errors().mean()

    def by_output(self) -> Tensor:
        """The error of each output ``(num_outputs,)`` over all batches."""
        with self.sync_context():
            return self._errors()

    def _errors(self) -> Tensor:
        ratio = self.squared_error / self.squared_target
        return torch.where(self.squared_target > 0, ratio, torch.inf).sqrt()


class TargetErrors(nn.Module):
    """R², root mean squared and mean absolute error of each target, in its units, in float64.

    Args:
        names: Name of each target.

    Example:
        >>> metric = TargetErrors(["y"])
        >>> metric.update(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [3.0]]))
        >>> {name: round(error.item(), 3) for name, error in metric.named().items()}
        {'r2/y': 0.5, 'rmse/y': 0.707, 'mae/y': 0.5}
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names, count = list(names), len(names)
        self.r2 = R2Score(multioutput="raw_values").set_dtype(torch.float64)
        self.rmse = MeanSquaredError(squared=False, num_outputs=count).set_dtype(torch.float64)
        self.mae = MeanAbsoluteError(num_outputs=count).set_dtype(torch.float64)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch of predictions and targets, both ``(n, targets)``."""
        for metric in (self.r2, self.rmse, self.mae):
            metric.update(preds.double(), target.double())

    def named(self) -> dict[str, Tensor]:
        """Each error over all batches as ``METRIC/TARGET``; no R² of a single row."""
        metrics: dict[str, Metric] = {"r2": self.r2, "rmse": self.rmse, "mae": self.mae}
        with self.r2.sync_context():
            total: Any = self.r2.total
            if int(total) < 2:
                del metrics["r2"]
        return {
            f"{key}/{name}": value
            for key, metric in metrics.items()
            for name, value in zip(self.names, metric.compute().reshape(-1), strict=True)
        }
