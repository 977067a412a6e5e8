"""What processes that share a training step make of their losses and means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["averaged", "pooled", "shares"]


def shares(rows: Sequence[int], like: Tensor) -> Tensor:
    r"""What each block's mean over this process's rows is multiplied by, ``(blocks,)``.

    .. math:: s_b = n_b P / \sum_p n_{bp}

    with n_b rows of block b here and P processes: the mean of the products over the processes is
    then the mean over all rows. Every process must call it.
    """
    counts = like.new_tensor(rows, dtype=torch.float64, requires_grad=False)
    total = counts.clone()
    torch.distributed.all_reduce(total)
    return (counts * torch.distributed.get_world_size() / total).to(like.dtype)


def pooled(own: Tensor, rows: int) -> Tensor:
    r"""The mean over the rows of all processes, of this one's mean over its ``rows``.

    .. math:: m = \sum_p n_p m_p / \sum_p n_p

    Its gradient is that of this process's part times their number: the mean of what they find, as
    DDP takes it, is the gradient of the whole. Every process must call it.
    """
    counted = torch.cat([rows * own.detach().double().flatten(), own.new_tensor([rows]).double()])
    torch.distributed.all_reduce(counted)
    share = rows * torch.distributed.get_world_size() / float(counted[-1])
    mean = (counted[:-1] / counted[-1]).view(own.shape).to(own.dtype)
    return mean + share * (own - own.detach())


def averaged(closure: Callable[[], Any], processes: int) -> Callable[[], Any]:
    """A closure that returns the mean of all processes' losses."""

    def mean() -> Any:
        loss = closure()
        if loss is None:
            return None
        total = loss.detach().clone()
        torch.distributed.all_reduce(total)
        return total / processes

    return mean
