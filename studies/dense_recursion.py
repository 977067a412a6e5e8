r"""The textbook KAN layer as a baseline: all basis functions by recursion, under autograd.

.. math::
    B_{i,0}(x) = 1 \text{ if } t_i \le x < t_{i+1}, \text{ else } 0, \qquad
    B_{i,d}(x) = \frac{x - t_i}{t_{i+d} - t_i} B_{i,d-1}(x)
               + \frac{t_{i+d+1} - x}{t_{i+d+1} - t_{i+1}} B_{i+1,d-1}(x)

    y_q = \sum_p \Big( r_{qp}\,\mathrm{silu}(x_p) + s_{qp} \sum_i c_{qpi} B_{i,k}(x_p) \Big) + b_q

Every step of the recursion is a tensor of all basis functions at all points, and autograd stores
all of them. Time and memory therefore grow with G, although only k+1 basis functions are non-zero
at a point. efficient-kan computes a layer in this way. Outside its knots, a spline is zero.

Source: de Boor, A Practical Guide to Splines, chapter IX.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["DenseKAN", "DenseLayer", "cox_de_boor"]


def cox_de_boor(x: Tensor, knots: Tensor, degree: int) -> Tensor:
    """All basis functions at each point.

    Args:
        x: ``(n, in)``.
        knots: ``(in, K)``, strictly increasing.
        degree: k.

    Returns:
        ``(n, in, K-k-1)``.
    """
    points = x.unsqueeze(-1)
    bases = ((points >= knots[:, :-1]) & (points < knots[:, 1:])).to(x.dtype)
    for d in range(1, degree + 1):
        count = knots.shape[1] - d - 1
        low, high = knots[:, :count], knots[:, d + 1 :]
        rising = (points - low) / (knots[:, d:-1] - low)
        falling = (high - points) / (high - knots[:, 1 : count + 1])
        bases = rising * bases[..., :-1] + falling * bases[..., 1:]
    return bases


class DenseLayer(nn.Module):
    """``(n, in)`` to ``(n, out)`` by the formula above.

    Args:
        knots: ``(in, G+2k+1)``.
        out_features: Number of outputs.
        degree: k.
    """

    def __init__(self, knots: Tensor, out_features: int, degree: int = 3) -> None:
        super().__init__()
        in_features, bases = knots.shape[0], knots.shape[1] - degree - 1
        self.degree = degree
        self.register_buffer("knots", knots)
        self.coefficients = nn.Parameter(0.1 * torch.randn(out_features, in_features, bases))
        self.base_weight = nn.Parameter(torch.randn(out_features, in_features) / in_features**0.5)
        self.edge_scale = nn.Parameter(torch.ones(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in)`` to ``(n, out)``."""
        bases = cox_de_boor(x, self.knots, self.degree)
        weight = self.edge_scale.unsqueeze(-1) * self.coefficients
        return F.linear(F.silu(x), self.base_weight, self.bias) + F.linear(
            bases.flatten(1), weight.flatten(1)
        )


class DenseKAN(nn.Sequential):
    """A sequence of layers.

    Args:
        widths: Inputs, hidden widths, outputs.
        knots: Of each layer ``(in, G+2k+1)``.
    """

    def __init__(self, widths: Sequence[int], knots: Sequence[Tensor]) -> None:
        outputs = [out for _, out in pairwise(widths)]
        super().__init__(*(DenseLayer(t, out) for t, out in zip(knots, outputs, strict=True)))
