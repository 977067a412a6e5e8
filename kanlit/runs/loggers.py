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
    """Turns failures of a logger (a full disk, a lost server) into one warning."""
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
                f"{self.name} has failed ({type(error).__name__}: {words}): its logs may "
                f"have gaps from here on; training continues"
            )


class _Guarded:
    """A guarded method of a logger; a class, so that it can be pickled."""

    def __init__(self, method: Callable[..., Any], failure: _Failure) -> None:
        self.method = method
        self.failure = failure

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.method(*args, **kwargs)
        except Exception as error:  # any error of another library
            self.failure.tell(error)
            return None
