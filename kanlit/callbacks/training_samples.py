"""What the grid adaptation takes of a module and its training data."""

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
    """What the callback can use of a LightningModule that holds KAN layers.

    A module without these is adapted all the same: its network is then the module itself, called
    with the batch or the batch's first element. ``loss(batch)``, where a module has it, gives the
    loss before and after; ``sample_losses(batch)``, one loss per sample, serves densities that use
    it.
    """

    network: nn.Module

    def adaptation_inputs(self, batch: Any) -> Tensor:
        """What the network is called with, ``(n, …)``: one entry per sample."""
        ...


class TrainingSamples:
    """Training samples of all processes, and the losses on them.

    Args:
        trainer: Has the training data.
        module: Says what the network sees of a batch.
        most: So many samples at most.
    """

    def __init__(self, trainer: Trainer, module: LightningModule, most: int) -> None:
        self._trainer = trainer
        self._module = module
        self._most = most
        self._batches = list(_batches(trainer, module, -(-most // trainer.world_size)))

    def inputs(self) -> Tensor:
        """What the network is called with, ``(n, …)``; the same on every process."""
        return self._gather([_inputs(self._module, batch).detach() for batch in self._batches])

    def sample_losses(self) -> Tensor | None:
        """Loss of each, ``(n,)``; ``None`` where the module does not say.

        Raises:
            ConfigurationError: The module gives one number for a whole batch.
        """
        method = _of_batch(self._module, "sample_losses")
        if method is None:
            return None
        with evaluating(self._module):
            own = [method(batch) for batch in self._batches]
        if any(losses.dim() == 0 for losses in own):
            raise ConfigurationError(
                f"{type(self._module).__name__}.sample_losses(batch) gives one number for a whole "
                "batch: let it give the loss of each sample, (n,), not their mean"
            )
        return self._gather(own)

    def loss(self) -> Callable[[], Tensor] | None:
        """Gives the mean loss over them now; ``None`` where the module has no ``loss(batch)``."""
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
    """Evaluation mode without gradients; each submodule's own mode comes back after it.

    Runs eagerly: a compiled network would be compiled again for another number of rows.
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
    """Training batches of this process on the module's device, enough for ``most`` samples."""
    count = 0
    with _unnoticed(trainer.train_dataloader) as loader:
        for batch in loader or ():
            moved = trainer.strategy.batch_to_device(trainer.precision_plugin.convert_input(batch))
            yield moved
            count += _inputs(module, moved).shape[0]
            if count >= most:
                return


def network_of(module: LightningModule) -> nn.Module:
    """The network inside a module; the module itself where it names none."""
    network: nn.Module = module.network if isinstance(module, GridAdaptable) else module
    # A compiled network is adapted through the module it was made from.
    return original_module(network)


def _of_batch(module: LightningModule, name: str) -> Callable[[Any], Tensor] | None:
    """The module's method of that name if it takes a batch alone.

    ``self.loss = nn.MSELoss()`` and ``def loss(self, prediction, target)`` do not.
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
    """Lets a loader be read once more without training noticing.

    A DataLoader draws from the global generator or its own when it starts, and one whose workers
    persist has a single iterator, which training may hold at this moment.
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
            f"cannot tell the network's inputs in a batch of type {type(batch).__name__}: give "
            f"{type(module).__name__} a method adaptation_inputs(batch) and an attribute network"
        )
    return first
