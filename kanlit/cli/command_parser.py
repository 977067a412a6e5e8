"""Options shared by the commands that do not train."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from kanlit.bases import Basis, basis_class
from kanlit.checkpoints import find_checkpoint, recorded_equation
from kanlit.checkpoints.find import NAMES
from kanlit.errors import ConfigurationError
from kanlit.files import expanded
from kanlit.modules import KANModule
from kanlit.problems import Equation
from kanlit.runs.config_data import equation_in
from kanlit.runs.user_classes import import_named

__all__ = ["CommandParser", "chosen_checkpoint", "named_equation", "named_module"]


class CommandParser(argparse.ArgumentParser):
    """Parses the arguments after ``kanlit COMMAND``.

    Parsing raises ConfigurationError for invalid options.

    Args:
        command: Name of the command.
        usage: Usage after the name.
        settings: Other arguments of ``argparse.ArgumentParser``.
    """

    def __init__(self, command: str, usage: str, **settings: Any) -> None:
        super().__init__(
            prog=f"kanlit {command}",
            usage=f"kanlit {command} {usage}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **settings,
        )

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message}: {self.prog} --help shows all options")

    def add_checkpoint(self) -> None:
        """Adds the checkpoint, the folder searched for ``last`` and ``best``, and the basis."""
        self.add_argument(
            "checkpoint",
            metavar="CHECKPOINT",
            help="the path of a .ckpt file that kanlit fit has written, or last or best for the "
            "newest run under --trainer.default_root_dir",
        )
        self.add_root()
        self.add_basis()

    def add_root(self) -> None:
        """Adds the folder searched for ``last`` and ``best``, as ``root``."""
        self.add_argument(
            "--trainer.default_root_dir",
            dest="root",
            type=expanded,
            default=Path(),
            metavar="DIR",
            help="root directory of the runs, for last and best (default: this folder)",
        )

    def add_model(self) -> None:
        """Adds the class of the checkpoint's module, as ``model``."""
        self.add_argument(
            "--model",
            metavar="CLASS",
            help="class of the checkpoint's module, such as mymodule.MyModule, if it is your own",
        )

    def add_basis(self) -> None:
        """Adds the class of the basis, as ``basis``; a checkpoint never imports one itself."""
        self.add_argument(
            "--model.basis",
            dest="basis",
            type=_imported_basis,
            metavar="CLASS",
            help="class of the network's basis, such as mymodule.MyBasis, if it is your own",
        )

    def add_config(
        self,
        purpose: str = "with the data of the run (default: config.yaml in the folder of the run)",
    ) -> None:
        """Adds the config of the checkpoint's run, as ``config``."""
        self.add_argument(
            "--config",
            type=expanded,
            metavar="FILE",
            help=f"config {purpose}",
        )


def _imported_basis(name: str) -> type[Basis]:
    try:
        return basis_class(import_named(name) if "." in name else name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def chosen_checkpoint(name: str, root: Path) -> Path:
    """The checkpoint that the user gave; prints which one ``last`` or ``best`` is."""
    path = find_checkpoint(name, root)
    if name in NAMES:
        print(f"{name} checkpoint: {path}")
    return path


def named_module(name: str | None) -> type[KANModule] | None:
    """The module class that the user gave as ``--model``, if any.

    Raises:
        ConfigurationError: If it cannot be imported or is not a KANModule.
    """
    if name is None:
        return None
    found = import_named(name if "." in name else f"kanlit.{name}")
    if not (isinstance(found, type) and issubclass(found, KANModule)):
        raise ConfigurationError(f"--model {name} is not a subclass of KANModule: name one")
    return found


def named_equation(config: Path | None, content: Mapping[str, Any]) -> Equation | None:
    """The equation in the config that the user has named with ``--config``, if any.

    Args:
        config: The config.
        content: The checkpoint.

    Raises:
        ConfigurationError: The checkpoint needs none, or the config has another.
    """
    if config is not None and recorded_equation(content) is None:
        raise ConfigurationError(
            f"--config {config} is not needed: the checkpoint has no equation with inputs or an "
            f"ansatz of its own; leave it out"
        )
    return equation_in(config, content)
