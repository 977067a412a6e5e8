"""Residuals whose squares make a robust loss."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pseudo_huber_residual"]


def pseudo_huber_residual(residual: Tensor, delta: Tensor) -> Tensor:
    r"""A transformed residual whose square is the pseudo-Huber loss of r.

    .. math:: \rho(r) = r \sqrt{\frac{2}{1 + \sqrt{1 + (r/\delta)^2}}}, \qquad
              \rho(r)^2 = 2 \delta^2 \left(\sqrt{1 + (r/\delta)^2} - 1\right)

    The loss is about r² for |r| well below δ and 2δ|r| well above it. It is smooth, so
    least-squares optimizers can use it like any residual.

    Args:
        residual: r ``(n, out)``.
        delta: δ ``(out,)``, above 0.

    Source: Charbonnier et al., ICIP (1994); Barron, arXiv 1701.03077, with α = 1.
    """
    return residual * torch.sqrt(2 / (1 + torch.hypot(torch.ones_like(residual), residual / delta)))
