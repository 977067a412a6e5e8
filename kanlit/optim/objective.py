"""The loss of a least-squares optimizer over the rows of all ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.optim.residual import Residual

__all__ = ["as_blocks", "from_first_rank", "loss_and_scales", "sum_over_ranks", "world_size"]


def as_blocks(result: Any) -> dict[str, Residual]:
    """Checks the result of a closure and reshapes its values to ``(n, targets)``.

    Raises:
        ConfigurationError: If it is not a mapping from names to residuals.
    """
    if isinstance(result, Mapping):
        blocks = {
            name: Residual(*block)
            for name, block in result.items()
            if isinstance(block, tuple) and 1 <= len(block) <= 2 and isinstance(block[0], Tensor)
        }
        if blocks and len(blocks) == len(result):
            return {
                name: Residual(values.reshape(len(values), -1), float(weight))
                for name, (values, weight) in blocks.items()
            }
    raise ConfigurationError(
        f"LevenbergMarquardt needs residuals instead of a loss, but its closure returned "
        f"{type(result).__name__}: return {{name: Residual(values, weight)}}; a custom "
        f"LightningModule must inherit from KANModule or use manual optimization"
    )


def world_size() -> int:
    """Number of ranks."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Sums the tensor over all ranks, in place."""
    if world_size() > 1:
        torch.distributed.all_reduce(tensor)
    return tensor


def from_first_rank(tensor: Tensor) -> Tensor:
    """Broadcasts the tensor of rank 0, in place: other ranks may have rounded differently."""
    if world_size() > 1:
        torch.distributed.broadcast(tensor, src=0)
    return tensor


def loss_and_scales(
    blocks: Mapping[str, Residual], device: torch.device
) -> tuple[float, dict[str, float]]:
    r"""The loss :math:`\sum_b w_b\,\mathrm{mean}(r_b^2)` over the rows of all ranks.

    Returns:
        The loss, and the factor of each block's residuals that makes it a sum of squares,
        :math:`\sqrt{w_b / n_b}` with n_b their number over all ranks.
    """
    own = [(b.values.detach().double().square().sum(), b.values.numel()) for b in blocks.values()]
    sums = torch.stack([squares for squares, _ in own])
    counts = torch.tensor([count for _, count in own], dtype=sums.dtype, device=device)
    squares, numbers = sum_over_ranks(torch.stack([sums, counts])).tolist()
    scales = {
        name: math.sqrt(block.weight / max(number, 1))
        for (name, block), number in zip(blocks.items(), numbers, strict=True)
    }
    return sum(s**2 * q for s, q in zip(scales.values(), squares, strict=True)), scales
