"""Calibrates class probabilities by one number."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["best_temperature"]

_SPREAD = 0.2  # prior standard deviation of log T, which bounds it on few or separable rows
_STEPS = 50


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    r"""The temperature T with which softmax(f / T) has the most likely classes.

    .. math:: T = \arg\min_T \; -\sum_j \log \mathrm{softmax}(f(x_j) / T)_{y_j}
                  + \frac{(\log T)^2}{2 s^2}

    It leaves the likeliest class unchanged. The prior, s = 0.2, keeps T finite and above 0 if all
    rows are classified correctly.

    Args:
        logits: f ``(n, classes)`` on rows that were not trained on.
        labels: Class indices ``(n,)``.

    Source: Guo et al., On calibration of modern neural networks, ICML (2017).
    """
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=_STEPS, line_search_fn="strong_wolfe")
    fixed = logits.detach().double()

    def closure() -> Tensor:
        optimizer.zero_grad()
        likelihood = F.cross_entropy(fixed * torch.exp(-log_t), labels, reduction="sum")
        total = likelihood + log_t.square() / (2 * _SPREAD**2)
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(closure)
    found = math.exp(float(log_t.detach()))
    return found if math.isfinite(found) else 1.0
