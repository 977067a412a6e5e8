"""The module and the data of a run that solves a differential equation."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer

from kanlit.data import EquationData
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule

__all__ = ["equation_data", "solver"]


def equation_data(trainer: Trainer, owner: str) -> EquationData:
    """The trainer's data module.

    Args:
        trainer: The trainer.
        owner: Name of the callback that needs it, for the message.

    Raises:
        ConfigurationError: It has no differential equation.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, EquationData):
        raise ConfigurationError(
            f"{owner} needs data with a differential equation, such as EquationData, got "
            f"{type(data).__name__}: remove {owner}"
        )
    return data


def solver(module: LightningModule, owner: str) -> PDEModule:
    """The module, which must solve a differential equation.

    Raises:
        ConfigurationError: It does not.
    """
    if not isinstance(module, PDEModule):
        raise ConfigurationError(
            f"{owner} needs a PDEModule, got {type(module).__name__}: use PDEModule, or remove "
            f"{owner}"
        )
    return module
