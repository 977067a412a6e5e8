"""Metrics that torchmetrics does not have."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

__all__ = ["RelativeL2Error"]


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
