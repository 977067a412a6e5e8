"""What several processes must agree on when grids change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from kanlit.adaptation import kan_layers

__all__ = ["gather_rows", "share", "share_grids", "unwrapped"]


def gather_rows(module: LightningModule, rows: Tensor) -> Tensor:
    """The rows ``(n, …)`` of all processes, the same on each; n may differ and may be 0.

    Their order is that in which they were dealt out, one to each process in turn, so that a
    single process with all the data has them in the same order.
    """
    if module.trainer.world_size == 1:
        return rows
    counts = _all_gather(torch.tensor([len(rows)], device=rows.device)).flatten()
    padded = rows.new_zeros(int(counts.max()), *rows.shape[1:])
    padded[: len(rows)] = rows
    dealt = _all_gather(padded).transpose(0, 1)  # (most rows, processes, …)
    there = torch.arange(len(padded), device=rows.device).unsqueeze(1) < counts
    return dealt[there]


def _all_gather(tensor: Tensor) -> Tensor:
    """The tensors of all processes, of one shape, one above the other."""
    every = [torch.empty_like(tensor) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(every, tensor.contiguous())
    return torch.stack(every)


@torch.no_grad()
def share_grids(trainer: Trainer, network: nn.Module) -> None:
    """Gives every process the knots and coefficients of rank 0, to the last bit.

    All have computed them from the same samples, but processors of different make may round
    differently, and a difference would grow without a word.
    """
    if trainer.world_size == 1:
        return
    for layer in kan_layers(network).values():
        knots, weight = layer.knots.clone(), layer.coefficients.detach().clone()
        share(trainer, [knots, weight])
        layer.set_grid(knots, weight)


def share(trainer: Trainer, tensors: Iterable[Tensor]) -> None:
    """Gives every process the values that rank 0 has, in place."""
    if trainer.world_size > 1:
        for tensor in tensors:
            torch.distributed.broadcast(tensor, src=0)


@contextmanager
def unwrapped(trainer: Trainer) -> Iterator[None]:
    """Takes DDP's wrapper off while parameters change shape, and puts a new one on.

    Its reducer holds the old parameters; one that is not renewed lets ranks drift apart in
    silence where ``find_unused_parameters`` is set.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, DDPStrategy):
        yield
        return
    strategy.model = trainer.lightning_module
    try:
        yield
    finally:
        strategy.configure_ddp()
