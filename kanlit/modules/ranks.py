"""Row-weighted averaging of losses and means across ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["averaged_over_ranks", "block_weights", "mean_over_ranks", "row_count"]


def block_weights(rows: Sequence[int], like: Tensor) -> Tensor:
    r"""Weight of each block's mean on this rank, ``(blocks,)``.

    .. math:: s_b = n_b P / \sum_p n_{bp}

    with n_b rows of block b on this rank and P ranks. The mean of the weighted means over the ranks
    is then the mean over all rows. Every rank must call it.
    """
    counts = like.new_tensor(rows, dtype=torch.float64, requires_grad=False)
    total = counts.clone()
    torch.distributed.all_reduce(total)
    return (counts * torch.distributed.get_world_size() / total).to(like.dtype)


def row_count(rows: int) -> Any:
    """The ``batch_size`` of a logged mean over ``rows`` rows.

    It is a float: Lightning averages an integer over the ranks and rounds it down, so the mean over
    41 rows on two ranks would be 41/40 of what it is.
    """
    return float(rows)


def mean_over_ranks(own: Tensor, rows: int) -> Tensor:
    r"""Mean over the rows of all ranks, given this rank's mean over its ``rows``.

    .. math:: m = \sum_p n_p m_p / \sum_p n_p

    Its gradient is that of this rank's part, times the number of ranks: DDP averages the gradients
    over the ranks, which gives the gradient of m. Every rank must call it.
    """
    counted = torch.cat([rows * own.detach().double().flatten(), own.new_tensor([rows]).double()])
    torch.distributed.all_reduce(counted)
    weight = rows * torch.distributed.get_world_size() / float(counted[-1])
    mean = (counted[:-1] / counted[-1]).view(own.shape).to(own.dtype)
    return mean + weight * (own - own.detach())


def averaged_over_ranks(closure: Callable[[], Any], world_size: int) -> Callable[[], Any]:
    """A closure that returns the mean loss over all ranks."""

    def mean() -> Any:
        loss = closure()
        if loss is None:
            return None
        total = loss.detach().clone()
        torch.distributed.all_reduce(total)
        return total / world_size

    return mean
