"""Checks that the Jacobian of residuals can be computed row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.optim.jacobian import JacobianColumns, RowJacobian
from kanlit.optim.objective import as_blocks

__all__ = ["check_gradient"]

_TOLERANCE = {torch.float64: 1e-6}  # relative to the largest possible gradient; otherwise 3e-3


@torch.no_grad()
def check_gradient(
    jacobian: RowJacobian,
    scales: Mapping[str, float],
    columns: JacobianColumns,
    closure: Callable[[], Any],
) -> None:
    """Compares Jᵀr with the gradient from autograd for the same residuals.

    The rows of J come from the gradient of a sum, assuming that the rows are independent. Where
    rows depend on each other, or on parameters outside the recorded calls, Jᵀr is wrong.

    Raises:
        ConfigurationError: If they differ.
    """
    ours = torch.zeros(columns.count, dtype=torch.float64, device=columns.parameters[0].device)
    squares, residuals = torch.zeros_like(ours), torch.zeros_like(ours[0])
    for chunk in jacobian.chunks():
        rows, residual = chunk[:, :-1], chunk[:, -1]
        ours += rows.T @ residual
        squares += rows.square().sum(0)
        residuals += residual.square().sum()
    with torch.enable_grad(), torch.compiler.set_stance("force_eager"):
        blocks = as_blocks(closure())
        half = torch.stack(
            [(scales[name] * b.values.double()).square().sum() / 2 for name, b in blocks.items()]
        ).sum()
        gradients: Sequence[Tensor | None] = [None]
        if half.requires_grad:
            gradients = torch.autograd.grad(half, columns.parameters, allow_unused=True)
    if all(gradient is None for gradient in gradients):
        raise ConfigurationError(
            "no residual depends on a parameter of LevenbergMarquardt: give it the parameters of "
            "the network that the closure evaluates"
        )
    theirs = columns.flatten_gradients(gradients)
    dtypes = {block.values.dtype for block in blocks.values()}
    tolerance = max(_TOLERANCE.get(dtype, 3e-3) for dtype in dtypes)
    # No gradient exceeds |column| · |r|, and rounding errors are proportional to that. The second
    # term allows for columns of basis functions with almost no samples in their support.
    lengths = squares.sqrt()
    bound = tolerance * residuals.sqrt() * (lengths + tolerance * lengths.max())
    if not bool(((ours - theirs).abs() <= bound).all()):
        raise ConfigurationError(
            "LevenbergMarquardt cannot compute the Jacobian of these residuals row by row: row i "
            "must depend only on row i of the inputs (batch normalization mixes rows), derivatives "
            "must come from KAN.jet, and the closure must return the same residuals when called "
            "again (dropout does not); change that or use torch.optim.LBFGS"
        )
