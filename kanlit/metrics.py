"""Metrics that torchmetrics does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

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


class TargetErrors(Metric):
    r"""R², root mean squared and mean absolute error of each target, in its units.

    .. math:: R^2 = 1 - \frac{\sum (y - \hat y)^2}{\sum (y - \bar y)^2}

    Sums over batches and ranks are in float64. torchmetrics' R2Score calls a sum of squares below
    1e-4 zero, whatever the units of the target are.

    Args:
        names: Name of each target.
        **kwargs: Passed to :class:`torchmetrics.Metric`.

    Example:
        >>> metric = TargetErrors(["y"])
        >>> errors = metric(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [3.0]]))
        >>> {name: round(error.item(), 3) for name, error in errors.items()}
        {'r2/y': 0.5, 'rmse/y': 0.707, 'mae/y': 0.5}
    """

    full_state_update = False

    rows: Tensor
    squares: Tensor
    absolutes: Tensor
    total: Tensor
    total_squares: Tensor

    def __init__(self, names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = list(names)
        for state in ("squares", "absolutes", "total", "total_squares", "rows"):
            zero = torch.zeros(len(self.names), dtype=torch.float64)
            self.add_state(state, default=zero, dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch of predictions and targets, both ``(n, targets)``."""
        target = target.double()
        error = preds.double() - target
        self.squares = self.squares + error.square().sum(0)
        self.absolutes = self.absolutes + error.abs().sum(0)
        self.total = self.total + target.sum(0)
        self.total_squares = self.total_squares + target.square().sum(0)
        self.rows = self.rows + len(target)

    def compute(self) -> dict[str, Tensor]:
        """Each error over all batches as ``METRIC/TARGET``; no R² of a constant target."""
        spread = self.total_squares - self.total.square() / self.rows
        varies = spread > 1e-13 * self.total_squares  # not only by rounding
        errors = {
            "r2": torch.where(varies, 1 - self.squares / spread, torch.nan),
            "rmse": (self.squares / self.rows).sqrt(),
            "mae": self.absolutes / self.rows,
        }
        return {
            f"{key}/{name}": value
            for key, values in errors.items()
            for name, value in zip(self.names, values, strict=True)
            if key != "r2" or not bool(value.isnan())
        }
