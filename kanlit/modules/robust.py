"""Residuals whose squares make a robust loss."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pseudo_huber_residual"]


def pseudo_huber_residual(residual: Tensor, delta: Tensor) -> Tensor:
    r"""What stands for a residual r so that its square is the pseudo-Huber loss of r.

    .. math:: \rho(r) = r \sqrt{\frac{2}{1 + \sqrt{1 + (r/\delta)^2}}}, \qquad
              \rho(r)^2 = 2 \delta^2 \left(\sqrt{1 + (r/\delta)^2} - 1\right)

    About r² well below δ and 2δ|r| well above it; smooth, so that least-squares optimisers take
    it as they take any residual.

    Args:
        residual: r ``(n, out)``.
        delta: δ ``(out,)``, above 0.

    Source: Charbonnier et al., ICIP (1994); Barron, arXiv 1701.03077, with α = 1.
    """
    return residual * torch.sqrt(2 / (1 + torch.hypot(torch.ones_like(residual), residual / delta)))
