"""Local loggers of a run; a failing logger does not end training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn

__all__ = ["LocalLogger", "guard", "local_loggers"]

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


def guard(logger: Logger) -> None:
    """Makes a logger's failure a warning: a full disk or a lost server does not end training."""
    failed: list[str] = []
    for name in _GUARDED:
        setattr(logger, name, _Guarded(getattr(logger, name), type(logger).__name__, failed))


@dataclass
class _Guarded:
    """A method of a logger, whose first failure is a warning and is added to ``failed``.

    An object, so that it can be pickled.
    """

    method: Callable[..., Any]
    logger: str
    failed: list[str]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.method(*args, **kwargs)
        except Exception as error:  # of a library that is not ours
            if not self.failed:
                words = " ".join(str(error).split())
                self.failed.append(words)
                rank_zero_warn(
                    f"{self.logger} has failed ({type(error).__name__}: {words}): from here on "
                    f"its logs may have gaps; training goes on"
                )
            return None
