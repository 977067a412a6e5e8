"""What several processes must agree on when grids change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from kanlit.adaptation import kan_layers

__all__ = ["gather_rows", "share_grids", "unwrapped"]


def gather_rows(module: LightningModule, rows: Tensor) -> Tensor:
    """The rows ``(n, …)`` of all processes, in order of rank; n may differ and may be 0."""
    if module.trainer.world_size == 1:
        return rows
    counts = _all_gather(module, torch.tensor(len(rows), device=rows.device)).flatten().tolist()
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    gathered = _all_gather(module, padded)
    return torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])


def _all_gather(module: LightningModule, tensor: Tensor) -> Tensor:
    gathered = module.all_gather(tensor)
    assert isinstance(gathered, Tensor)
    return gathered


@torch.no_grad()
def share_grids(trainer: Trainer, network: nn.Module) -> None:
    """Gives every process the knots and coefficients of rank 0, to the last bit.

    All have computed them from the same samples, but processors of different make may round
    differently, and a difference would grow without a word.
    """
    if trainer.world_size == 1:
        return
    for layer in kan_layers(network).values():
        knots, weight = layer.knots.clone(), layer.spline_weight.detach().clone()
        for tensor in (knots, weight):
            torch.distributed.broadcast(tensor, src=0)
        layer.set_grid(knots, weight)


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
