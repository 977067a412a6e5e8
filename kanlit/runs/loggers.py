"""Local loggers of a run; a failing logger does not end training."""

from __future__ import annotations

from collections.abc import Callable
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
    state = _Failure(type(logger).__name__)
    for name in _GUARDED:
        setattr(logger, name, _Guarded(getattr(logger, name), state))


class _Failure:
    """Warns once that a logger has failed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told = False

    def tell(self, error: Exception) -> None:
        if not self.told:
            self.told = True
            words = " ".join(str(error).split())
            rank_zero_warn(
                f"{self.name} has failed ({type(error).__name__}: {words}): from here on its logs "
                f"may have gaps; training goes on"
            )


class _Guarded:
    """A method of a logger; an object, so that it can be pickled."""

    def __init__(self, method: Callable[..., Any], failure: _Failure) -> None:
        self.method = method
        self.failure = failure

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.method(*args, **kwargs)
        except Exception as error:  # of a library that is not ours
            self.failure.tell(error)
            return None
