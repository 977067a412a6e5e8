"""All private names of torch, Lightning and jsonargparse that kanlit uses.

No other file uses private names. ``tests/test_compat.py`` tests each of them, so that a release
which changes one fails there.
"""

from __future__ import annotations

import copy
from argparse import Action, ArgumentParser
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.optim import LBFGS
from torch.utils.data import DataLoader

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import EarlyStopping
    from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
    from lightning.pytorch.loggers import Logger
    from lightning.pytorch.loops.fit_loop import _FitLoop

__all__ = [
    "CLASS_PATH",
    "COMPILED_PREFIX",
    "INSTANTIATOR",
    "RUNNING_HOOK",
    "forget_parameter_count",
    "forget_run",
    "has_storage",
    "mark_epoch_end",
    "operations_are_watched",
    "options_of",
    "original_module",
    "own_iterator",
    "set_root_folder",
    "set_version",
    "settings_under",
    "subcommand_parsers",
    "trainer_of",
    "transforms_are_active",
    "version_of",
    "waits_for_validation",
]

# -- torch ----------------------------------------------------------------------------------------

COMPILED_PREFIX = "_orig_mod."
"""Prefix of the parameter names of a compiled module in a state dict."""


def transforms_are_active() -> bool:
    """Whether a functorch transform, such as ``vmap``, is running."""
    return bool(torch._C._are_functorch_transforms_active())


def operations_are_watched() -> bool:
    """Whether a transform, dispatch mode or trace must see each torch operation."""
    return bool(
        torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._get_tracing_state() is not None
        or forward_ad._current_level >= 0
    )


def has_storage(tensor: Tensor) -> bool:
    """Whether a tensor has its own storage; batched tensors of ``vmap`` have none."""
    return bool(torch._C._has_storage(tensor))


def original_module(module: nn.Module) -> nn.Module:
    """The original of a compiled module; returns any other module unchanged."""
    original: nn.Module = getattr(module, "_orig_mod", module)
    return original


def forget_parameter_count(optimizer: LBFGS) -> None:
    """Clears the cached parameter count of L-BFGS after parameters have changed size."""
    optimizer._numel_cache = None


def own_iterator(loader: DataLoader[Any]) -> DataLoader[Any]:
    """A copy of a loader that starts its own workers if those of the loader are persistent."""
    twin = copy.copy(loader)
    twin._iterator = None
    return twin


# -- Lightning ------------------------------------------------------------------------------------

RUNNING_HOOK = "_current_fx_name"
"""The attribute in which Lightning stores the running hook of a module, often in every step."""

CLASS_PATH = "_class_path"
"""Key of the module's class path in hyperparameters saved by a command line."""

INSTANTIATOR = "_instantiator"
"""Key of the function that creates the module, saved beside :data:`CLASS_PATH`."""


def trainer_of(module: nn.Module) -> Trainer | None:
    """The trainer of a LightningModule or ``None``, where ``module.trainer`` would raise."""
    trainer: Trainer | None = getattr(module, "_trainer", None)
    return trainer


def version_of(logger: Logger) -> int | str | None:
    """The version given to a local logger; ``None`` if it chooses an unused one."""
    version: int | str | None = logger._version  # type: ignore[attr-defined]
    return version


def set_version(logger: Logger, version: int | str | None) -> None:
    """Sets the version of a local logger; with ``None`` it chooses an unused one."""
    logger._version = version  # type: ignore[attr-defined]


def set_root_folder(trainer: Trainer, folder: str) -> None:
    """Sets the folder in which a trainer without loggers writes its files."""
    trainer._default_root_dir = folder  # type: ignore[attr-defined]


def mark_epoch_end(loop: _FitLoop) -> None:
    """Marks the epoch of a restarted loop as finished, so that the next one starts."""
    from lightning.pytorch.loops.fit_loop import RestartStage

    loop.epoch_loop.restarting = False
    loop._restarting = False
    loop._restart_stage = RestartStage.RESUMED_ON_EPOCH_END


def waits_for_validation(callback: EarlyStopping) -> bool:
    """Whether it checks its metric after each validation, not after each epoch of training."""
    return not callback._check_on_train_epoch_end


def subcommand_parsers(cli: LightningCLI) -> dict[str, LightningArgumentParser] | None:
    """The parsers of a command line by subcommand; ``None`` if there are no subcommands."""
    parsers: dict[str, LightningArgumentParser] | None = getattr(cli, "_subcommand_parsers", None)
    return parsers


def forget_run(parser: LightningArgumentParser) -> None:
    """Removes what a command line has left in its parser, so that another one can use it."""
    parser._instantiators = None  # they refer to the modules of the run
    vars(parser).pop("print_config", None)


def settings_under(cli: LightningCLI, key: str) -> Any:
    """The settings of a command line under a key such as ``trainer``, for any subcommand."""
    return cli._get(cli.config, key)


# -- argparse, under jsonargparse -----------------------------------------------------------------


def options_of(parser: ArgumentParser) -> list[Action]:
    """The options of a parser; the list may be modified."""
    return parser._actions
