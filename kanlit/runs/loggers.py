"""Local loggers of a run and the version of its folder; a failing logger does not end training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn

from kanlit.errors import ConfigurationError

__all__ = ["LocalLogger", "chosen_version", "guard", "local_loggers"]

LocalLogger = TensorBoardLogger | CSVLogger

_GUARDED = (
    "after_save_checkpoint",
    "finalize",
    "log_graph",
    "log_hyperparams",
    "log_metrics",
    "save",
)


def local_loggers(trainer: Trainer) -> list[LocalLogger]:
    """The loggers that write ``save_dir/name/version``."""
    return [each for each in trainer.loggers if isinstance(each, TensorBoardLogger | CSVLogger)]


def chosen_version(name: str | None, version: str | int | None) -> str | int | None:
    """The version that the user has chosen for the folder; None for the next ``version_N``.

    Args:
        name: Name of the run.
        version: Version of the first local logger.

    Raises:
        ConfigurationError: Both are given, or the name is not that of a folder.
    """
    if name is None:
        return version
    if version is not None:
        raise ConfigurationError(
            f"name {name} and logger.version {version} both name the folder of the run: leave one "
            f"out"
        )
    if not name.strip() or name.startswith(".") or any(mark in name for mark in "/\\:\0"):
        raise ConfigurationError(
            f"name {name!r} is not the name of a folder: give one such as first_try"
        )
    return name


def guard(logger: Logger) -> None:
    """Turns failures of a logger (a full disk, a lost server) into one warning."""
    failed: list[str] = []
    for name in _GUARDED:
        setattr(logger, name, _Guarded(getattr(logger, name), type(logger).__name__, failed))


@dataclass
class _Guarded:
    """A guarded method of a logger; a class, so that it can be pickled."""

    method: Callable[..., Any]
    logger: str
    failed: list[str]  # message of the first failure, shared by all methods

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.method(*args, **kwargs)
        except Exception as error:  # any error of another library
            if not self.failed:
                words = " ".join(str(error).split())
                self.failed.append(words)
                rank_zero_warn(
                    f"{self.logger} has failed ({type(error).__name__}: {words}): its logs may "
                    f"have gaps from here on; training continues"
                )
            return None
