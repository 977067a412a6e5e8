"""What a least-squares optimiser makes smaller, over the rows of all processes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.optim.residual import Residual

__all__ = ["agreed", "as_blocks", "loss_and_scales", "processes", "summed"]


def as_blocks(result: Any) -> dict[str, Residual]:
    """What a closure has returned, checked; values ``(n, targets)``.

    Raises:
        ConfigurationError: It is no mapping of names to residuals.
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
        f"LevenbergMarquardt needs the residuals themselves, but its closure returned "
        f"{type(result).__name__}: return {{name: Residual(values, weight)}} from it; a "
        f"LightningModule of one's own inherits KANModule or steps by manual optimisation"
    )


def processes() -> int:
    """How many processes there are."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


def summed(tensor: Tensor) -> Tensor:
    """The sum of the tensor over all processes, in place."""
    if processes() > 1:
        torch.distributed.all_reduce(tensor)
    return tensor


def agreed(tensor: Tensor) -> Tensor:
    """What the first process has, in place: others may have rounded differently."""
    if processes() > 1:
        torch.distributed.broadcast(tensor, src=0)
    return tensor


def loss_and_scales(
    blocks: Mapping[str, Residual], device: torch.device
) -> tuple[float, dict[str, float]]:
    r"""The loss :math:`\sum_b w_b\,\mathrm{mean}(r_b^2)` over the rows of all processes.

    Returns:
        It, and what each block's residuals are multiplied by so that it is a sum of squares,
        :math:`\sqrt{w_b / n_b}` with n_b their number on all processes.
    """
    own = [(b.values.detach().double().square().sum(), b.values.numel()) for b in blocks.values()]
    sums = torch.stack([squares for squares, _ in own])
    counts = torch.tensor([count for _, count in own], dtype=sums.dtype, device=device)
    squares, numbers = summed(torch.stack([sums, counts])).tolist()
    scales = {
        name: math.sqrt(block.weight / max(number, 1))
        for (name, block), number in zip(blocks.items(), numbers, strict=True)
    }
    return sum(s**2 * q for s, q in zip(scales.values(), squares, strict=True)), scales
