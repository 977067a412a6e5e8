"""Keeps the ranks of a run in agreement when grids change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from kanlit.adaptation import kan_layers

__all__ = ["broadcast", "broadcast_grids", "gather_rows", "unwrapped"]


def gather_rows(module: LightningModule, rows: Tensor) -> Tensor:
    """Gathers the rows ``(n, …)`` of all ranks on every rank; n may differ and may be 0.

    Rows are interleaved in the order in which they were dealt to the ranks, which is the order on
    a single rank with all the data.
    """
    if module.trainer.world_size == 1:
        return rows
    counts = _all_gather(torch.tensor([len(rows)], device=rows.device)).flatten()
    padded = rows.new_zeros(int(counts.max()), *rows.shape[1:])
    padded[: len(rows)] = rows
    dealt = _all_gather(padded).transpose(0, 1)  # (most rows, ranks, …)
    there = torch.arange(len(padded), device=rows.device).unsqueeze(1) < counts
    return dealt[there]


def _all_gather(tensor: Tensor) -> Tensor:
    """The tensors of all ranks, of equal shape, stacked."""
    every = [torch.empty_like(tensor) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(every, tensor.contiguous())
    return torch.stack(every)


@torch.no_grad()
def broadcast_grids(trainer: Trainer, network: nn.Module) -> None:
    """Copies the knots and coefficients of rank 0 to every rank.

    All ranks computed them from the same samples, but different processors may round differently,
    and the difference would grow unnoticed.
    """
    if trainer.world_size == 1:
        return
    for layer in kan_layers(network).values():
        knots, weight = layer.knots.clone(), layer.coefficients.detach().clone()
        broadcast(trainer, [knots, weight])
        layer.set_grid(knots, weight)


def broadcast(trainer: Trainer, tensors: Iterable[Tensor]) -> None:
    """Copies the values of rank 0 to every rank, in place."""
    if trainer.world_size > 1:
        for tensor in tensors:
            torch.distributed.broadcast(tensor, src=0)


@contextmanager
def unwrapped(trainer: Trainer) -> Iterator[None]:
    """Removes DDP's wrapper while parameters change shape, and creates a new one afterwards.

    DDP's reducer refers to the old parameters. Without a new one, gradients would silently not be
    synchronized if ``find_unused_parameters`` is set.
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
