"""A KAN: layers of learnable univariate functions, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kanlit.nn.init import Initialization
from kanlit.nn.layer import KANLayer
from kanlit.splines import Outside

__all__ = ["KAN", "Derivatives"]


class Derivatives(NamedTuple):
    """A function's value and derivatives at n points.

    Attributes:
        value: u ``(n, out)``.
        gradient: ∂u/∂x_d ``(n, out, in)``.
        second: ∂²u/∂x_d∂x_e for each asked pair ``(n, out, pairs)``; by default the pairs are
            (d, d), so the last axis is the input.
    """

    value: Tensor
    gradient: Tensor
    second: Tensor


class KAN(nn.Module):
    """Kolmogorov-Arnold network of the given widths.

    Args:
        widths: Inputs, hidden widths, outputs, such as ``[2, 10, 1]``.
        grid_size: G, intervals per input feature of each layer.
        spline_order: k, degree of the splines, 1 to 5.
        grid_range: Ends of the first, uniform grid of each layer.
        outside: How splines go on outside the grid, ``"linear"`` or ``"zero"``.
        initialization: ``"glorot_fine"`` or ``"plain"``.
        generator: Source of the initial weights of all layers, drawn one after another.
        device: Where the parameters live.
        dtype: Their type, float32 or float64.

    Raises:
        ValueError: Fewer than two widths, or one that is not positive.

    Source: arXiv 2404.19756, arXiv 2601.18672.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        grid_size: int = 3,
        spline_order: int = 3,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        outside: Outside = "linear",
        initialization: Initialization = "glorot_fine",
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"a KAN needs at least two widths, inputs and outputs, got {widths}")
        self.layers = nn.ModuleList(
            KANLayer(
                n_in,
                n_out,
                grid_size=grid_size,
                spline_order=spline_order,
                grid_range=grid_range,
                outside=outside,
                initialization=initialization,
                generator=generator,
                device=device,
                dtype=dtype,
            )
            for n_in, n_out in pairwise(widths)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(…, in)`` to ``(…, out)``."""
        for layer in self.layers:
            x = layer(x)
        return x

    def sweep(self, x: Tensor, pairs: Sequence[tuple[int, int]] | None = None) -> Derivatives:
        """Value, gradient and second derivatives with respect to the inputs in one forward sweep.

        Exact, without autograd, and differentiable in the parameters: what PDE residuals and the
        curvature density need, much cheaper than nested autograd.

        Args:
            x: ``(n, in)``.
            pairs: Which second derivatives, as pairs of input numbers; left out, the diagonal.

        Returns:
            Value, gradient and second derivatives, see :class:`Derivatives`.
        """
        variables = x.shape[1]
        pairs = [(d, d) for d in range(variables)] if pairs is None else list(pairs)
        value = x.T.contiguous()
        first = torch.eye(variables, dtype=x.dtype, device=x.device).unsqueeze(-1)
        second = x.new_zeros(len(pairs), variables, 1)
        for layer in self.layers:
            assert isinstance(layer, KANLayer)
            value, first, second = layer.sweep(value, first, second, pairs)
        return Derivatives(value.T, first.permute(2, 1, 0), second.permute(2, 1, 0))
