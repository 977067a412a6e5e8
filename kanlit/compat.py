"""Every private name of torch, Lightning and jsonargparse that kanlit uses.

No other file touches one. ``tests/test_compat.py`` says what each has to do, so a release that
changes one fails there, by name.
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
    "RUNNING_HOOK",
    "command_list",
    "forget_parameter_count",
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
"""Stands before the names of a compiled module's parameters in a state dict."""


def transforms_are_active() -> bool:
    """Whether a functorch transform, such as ``vmap``, is running."""
    return bool(torch._C._are_functorch_transforms_active())


def operations_are_watched() -> bool:
    """Whether somebody has to see each operation: a transform, a dispatch mode, a trace."""
    return bool(
        torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._get_tracing_state() is not None
        or forward_ad._current_level >= 0
    )


def has_storage(tensor: Tensor) -> bool:
    """Whether a tensor has memory of its own; a batch of ``vmap`` has none."""
    return bool(torch._C._has_storage(tensor))


def original_module(module: nn.Module) -> nn.Module:
    """The module that a compiled one was made from; any other as it is."""
    original: nn.Module = getattr(module, "_orig_mod", module)
    return original


def forget_parameter_count(optimizer: LBFGS) -> None:
    """Lets L-BFGS count its parameters again, whose sizes have changed."""
    optimizer._numel_cache = None


def own_iterator(loader: DataLoader[Any]) -> DataLoader[Any]:
    """A copy of a loader that starts workers of its own where the loader's persist."""
    twin = copy.copy(loader)
    twin._iterator = None
    return twin


# -- Lightning ------------------------------------------------------------------------------------

RUNNING_HOOK = "_current_fx_name"
"""The attribute in which Lightning notes a module's running hook, dozens of times a step."""

CLASS_PATH = "_class_path"
"""Under which saved hyperparameters of a command line have the module's class."""


def trainer_of(module: nn.Module) -> Trainer | None:
    """A LightningModule's trainer; ``None`` where it has none, which ``module.trainer`` refuses."""
    trainer: Trainer | None = getattr(module, "_trainer", None)
    return trainer


def version_of(logger: Logger) -> int | str | None:
    """The version that a local logger was given; ``None`` where it is to look for a free one."""
    version: int | str | None = logger._version  # type: ignore[attr-defined]
    return version


def set_version(logger: Logger, version: int | str | None) -> None:
    """Gives a local logger a version, or lets it look for a free one."""
    logger._version = version  # type: ignore[attr-defined]


def set_root_folder(trainer: Trainer, folder: str) -> None:
    """Moves what a trainer without loggers writes into another folder."""
    trainer._default_root_dir = folder  # type: ignore[attr-defined]


def mark_epoch_end(loop: _FitLoop) -> None:
    """Lets a restarted loop take its epoch as finished, so that it begins the next."""
    from lightning.pytorch.loops.fit_loop import RestartStage

    loop.epoch_loop.restarting = False
    loop._restarting = False
    loop._restart_stage = RestartStage.RESUMED_ON_EPOCH_END


def waits_for_validation(callback: EarlyStopping) -> bool:
    """Whether it checks its metric after each validation, not after each epoch of training."""
    return not callback._check_on_train_epoch_end


def subcommand_parsers(cli: LightningCLI) -> dict[str, LightningArgumentParser] | None:
    """A command line's parsers by subcommand; ``None`` where it has none."""
    parsers: dict[str, LightningArgumentParser] | None = getattr(cli, "_subcommand_parsers", None)
    return parsers


def settings_under(cli: LightningCLI, key: str) -> Any:
    """What a command line says under a key, such as ``trainer``, whatever its subcommand is."""
    return cli._get(cli.config, key)


# -- argparse, under jsonargparse -----------------------------------------------------------------


def options_of(parser: ArgumentParser) -> list[Action]:
    """The options of a parser, to be read or changed."""
    return parser._actions


def command_list(parser: ArgumentParser) -> list[Action]:
    """The subcommands as a parser's help lists them, to be read or extended; may be empty."""
    for action in parser._actions:
        listed: list[Action] = getattr(action, "_choices_actions", [])
        if listed:
            return listed
    return []
