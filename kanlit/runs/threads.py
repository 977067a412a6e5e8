"""Number of threads of a run, if the user has not set it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from lightning.pytorch import Trainer
from torch import nn

from kanlit.adaptation import kan_layers
from kanlit.kernel import kernel_available
from kanlit.kernel.threads import torch_on_one_thread

__all__ = ["chosen_threads"]

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_PARAMETERS = 2**17  # with more, the optimizer itself takes long
_default = torch.get_num_threads()


def chosen_threads(trainer: Trainer, model: nn.Module) -> AbstractContextManager[None]:
    """Restricts torch's own operations to one thread if the compiled kernel does most of the work.

    They are short then, and each would wait for all OpenMP threads. The kernel still uses all
    threads.
    """
    set_by_user = torch.get_num_threads() != _default or any(v in os.environ for v in _VARIABLES)
    alone = trainer.world_size == 1 and trainer.strategy.root_device.type == "cpu"
    if set_by_user or not alone or not _in_kernel(model):
        return nullcontext()
    return torch_on_one_thread()


def _in_kernel(model: nn.Module) -> bool:
    """Whether the network is small and has only spline layers, which the kernel evaluates."""
    layers = kan_layers(model).values()
    own = {id(p) for layer in layers for p in layer.parameters()}
    parameters = list(model.parameters())
    return (
        kernel_available()
        and all(layer.basis_name == "bspline" for layer in layers)
        and all(id(p) in own or p.ndim < 2 for p in parameters)
        and sum(p.numel() for p in parameters) < _PARAMETERS
    )
