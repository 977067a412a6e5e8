"""Whether residuals are such that their Jacobian can be had row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.optim.jacobian import JacobianColumns, RowJacobian
from kanlit.optim.objective import as_blocks

__all__ = ["check_gradient"]

_TOLERANCE = {torch.float64: 1e-6}  # of the largest that a gradient can be; 3e-3 in other types


@torch.no_grad()
def check_gradient(
    jacobian: RowJacobian,
    scales: Mapping[str, float],
    columns: JacobianColumns,
    closure: Callable[[], Any],
) -> None:
    """Compares Jᵀr with the gradient that autograd finds for the same residuals.

    The rows of J come from the gradient of a sum, in which each row is taken for its own. Where
    rows depend on each other, or on parameters by a way that was not seen, Jᵀr is something else.

    Raises:
        ConfigurationError: They differ.
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
        found: Sequence[Tensor | None] = [None]
        if half.requires_grad:
            found = torch.autograd.grad(half, columns.parameters, allow_unused=True)
    if all(gradient is None for gradient in found):
        raise ConfigurationError(
            "no residual depends on a parameter of LevenbergMarquardt: give it the parameters of "
            "the network that the closure evaluates"
        )
    theirs = columns.joined(found)
    types = {block.values.dtype for block in blocks.values()}
    tolerance = max(_TOLERANCE.get(dtype, 3e-3) for dtype in types)
    # No gradient is larger than |column| · |r|, and rounding is a share of that; but a basis that
    # hardly reaches any sample is lost in it.
    lengths = squares.sqrt()
    bound = tolerance * residuals.sqrt() * (lengths + tolerance * lengths.max())
    if not bool(((ours - theirs).abs() <= bound).all()):
        raise ConfigurationError(
            "LevenbergMarquardt cannot take these residuals row by row: row i may depend on row i "
            "of the inputs only (batch normalisation mixes them), derivatives must come from "
            "KAN.sweep, and the closure must give the same residuals when called again (dropout "
            "does not); change that or take torch.optim.LBFGS"
        )
