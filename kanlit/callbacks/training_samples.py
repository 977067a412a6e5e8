"""Training samples of a module, as grid adaptation and pruning need them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from kanlit.callbacks.distributed import gather_rows
from kanlit.compat import original_module, own_iterator
from kanlit.errors import ConfigurationError

__all__ = ["GridAdaptable", "TrainingSamples", "evaluating", "network_of"]


@runtime_checkable
class GridAdaptable(Protocol):
    """Optional interface of a LightningModule with KAN layers.

    A module without these attributes can be adapted too: its network is then the module itself,
    called with the batch or with the first element of the batch. An optional method
    ``loss(batch)`` gives the loss before and after an adaptation; an optional method
    ``sample_losses(batch)`` returns one loss per sample, for densities that need it.
    """

    network: nn.Module

    def adaptation_inputs(self, batch: Any) -> Tensor:
        """The inputs of the network, ``(n, …)``, one entry per sample."""
        ...


class TrainingSamples:
    """Training samples of all ranks, and their losses.

    Args:
        trainer: Provides the training data.
        module: Defines the network's inputs in a batch.
        most: Largest number of samples.
    """

    def __init__(self, trainer: Trainer, module: LightningModule, most: int) -> None:
        self._trainer = trainer
        self._module = module
        self._most = most
        self._batches = list(_batches(trainer, module, -(-most // trainer.world_size)))

    def inputs(self) -> Tensor:
        """The inputs of the network, ``(n, …)``; the same on every rank."""
        return self._gather([_inputs(self._module, batch).detach() for batch in self._batches])

    def sample_losses(self) -> Tensor | None:
        """Loss of each sample, ``(n,)``; ``None`` if the module has no ``sample_losses``.

        Raises:
            ConfigurationError: ``sample_losses`` returns one number for the whole batch.
        """
        method = _of_batch(self._module, "sample_losses")
        if method is None:
            return None
        with evaluating(self._module):
            own = [method(batch) for batch in self._batches]
        if any(losses.dim() == 0 for losses in own):
            raise ConfigurationError(
                f"{type(self._module).__name__}.sample_losses(batch) returns one number for the "
                "whole batch: return one loss per sample, (n,), not their mean"
            )
        return self._gather(own)

    def loss(self) -> Callable[[], Tensor] | None:
        """A function that computes the mean loss; ``None`` if the module has no ``loss(batch)``."""
        method = _of_batch(self._module, "loss")
        if method is None:
            return None

        def mean() -> Tensor:
            with evaluating(self._module):
                own = [method(batch).double() for batch in self._batches]
            total = torch.stack([torch.stack(own).sum(), own[0].new_tensor(len(own))])
            if self._trainer.world_size > 1:
                torch.distributed.all_reduce(total)
            return total[0] / total[1]

        return mean

    def _gather(self, parts: list[Tensor]) -> Tensor:
        return gather_rows(self._module, torch.cat(parts))[: self._most]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the mode of each submodule is restored afterwards.

    Runs eagerly: a compiled network would be recompiled for another number of rows.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def _batches(trainer: Trainer, module: LightningModule, most: int) -> Iterator[Any]:
    """Training batches of this rank on the module's device, enough for ``most`` samples."""
    count = 0
    with _unnoticed(trainer.train_dataloader) as loader:
        for batch in loader or ():
            converted = trainer.precision_plugin.convert_input(batch)
            moved = trainer.strategy.batch_to_device(converted, device=module.device)
            yield moved
            count += _inputs(module, moved).shape[0]
            if count >= most:
                return


def network_of(module: LightningModule) -> nn.Module:
    """The network inside a module; the module itself if it has no attribute ``network``."""
    network: nn.Module = module.network if isinstance(module, GridAdaptable) else module
    # A compiled network is adapted through the original module.
    return original_module(network)


def _of_batch(module: LightningModule, name: str) -> Callable[[Any], Tensor] | None:
    """The module's method of this name if it takes the batch as its only argument.

    ``self.loss = nn.MSELoss()`` and ``def loss(self, prediction, target)`` do not qualify.
    """
    method = getattr(module, name, None)
    if not inspect.ismethod(method):
        return None
    try:
        inspect.signature(method).bind(None)
    except TypeError:
        return None
    return method


@contextmanager
def _unnoticed(loader: Any) -> Iterator[Any]:
    """Allows an extra pass over a loader without side effects on training.

    Starting a DataLoader draws from the global generator or its own. With persistent workers, its
    single iterator may be in use by training.
    """
    sampler = getattr(loader, "sampler", None)
    own = (getattr(loader, "generator", None), getattr(sampler, "generator", None))
    states = [(g, g.get_state()) for g in own if isinstance(g, torch.Generator)]
    if isinstance(loader, DataLoader) and loader.persistent_workers:
        loader = own_iterator(loader)
    try:
        with torch.random.fork_rng(devices=[]):
            yield loader
    finally:
        for generator, state in states:
            generator.set_state(state)


def _inputs(module: LightningModule, batch: Any) -> Tensor:
    """The network's inputs in a batch."""
    if isinstance(module, GridAdaptable):
        return module.adaptation_inputs(batch)
    first = batch[0] if isinstance(batch, (tuple, list)) else batch
    if not isinstance(first, Tensor):
        raise ConfigurationError(
            f"the network's inputs in a batch of type {type(batch).__name__} are unknown: define "
            f"adaptation_inputs(batch) and an attribute network in {type(module).__name__}"
        )
    return first
