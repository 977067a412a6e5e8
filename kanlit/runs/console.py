"""Filters known noise of other libraries and prints log lines above the progress bar."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from io import StringIO
from typing import TextIO

from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

__all__ = ["clean_console", "quiet_console"]

# Warnings that do not concern the user's run, by the start of their text.
_WARNINGS = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"The number of training batches \(1\) is smaller than the logging interval",
    # Each run has its own folder, so a resumed checkpoint is always from another one.
    r"The dirpath has changed from",
    r"Checkpoint directory .* exists and is not empty",
    # The folder already has a config, and kanlit keeps earlier tables of metrics.
    r"Experiment logs directory .* exists and is not empty",
)

# The same for lines in Lightning's log.
_LINES = (
    "💡 Tip: For seamless cloud",
    "Initializing distributed: GLOBAL_RANK: ",  # logged by each process
    "GPU available: False, used: False",
    "TPU available: False, using: 0 TPU cores",
    "HPU available: False, using: 0 HPUs",
    "`Trainer.fit` stopped: `max_epochs=",  # in the summary
    "Restoring states from the checkpoint path at",  # logged by kanlit
    "Restored all states from the checkpoint at",
    "Loaded model weights from the checkpoint at",
)
_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric")


class _Noise(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith("[rank: ") and not message.startswith("[rank: 0]"):
            return False  # rank 0 prints the same
        return not message.startswith(_LINES)


def _write_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Prints a warning as one line above the bar, without the code that raised it."""
    text = f"{category.__name__}: {message} ({filename}:{lineno})"
    Tqdm.write(text, file=file or sys.stderr)


def _report_thread(failure: threading.ExceptHookArgs) -> None:
    """Prints a thread's traceback, except TensorBoard's, whose logger fails with a warning."""
    if not type(failure.thread).__module__.startswith("tensorboard."):
        threading.__excepthook__(failure)


class _AboveBar(logging.Handler):
    """Writes log lines to stderr above an open progress bar."""

    def __init__(self, replaced: logging.Handler) -> None:
        super().__init__(replaced.level)
        self.setFormatter(replaced.formatter)
        self.addFilter(_Noise())

    def emit(self, record: logging.LogRecord) -> None:
        Tqdm.write(self.format(record), file=sys.stderr)


@contextmanager
def clean_console() -> Iterator[None]:
    """Writes Lightning's log lines and all warnings above an open progress bar."""
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        _ignore_noise()
        warnings.showwarning = _write_warning
        stack.callback(setattr, threading, "excepthook", threading.excepthook)
        threading.excepthook = _report_thread
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            for handler in logger.handlers.copy():
                if type(handler) is logging.StreamHandler:
                    above = _AboveBar(handler)
                    logger.removeHandler(handler)
                    logger.addHandler(above)
                    stack.callback(logger.addHandler, handler)
                    stack.callback(logger.removeHandler, above)
        yield


@contextmanager
def quiet_console() -> Iterator[list[str]]:
    """Suppresses all output; yields the warnings that would have been printed, without noise."""
    said: list[str] = []
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(StringIO()):
        _ignore_noise()
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield said
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
            said += [f"{each.category.__name__}: {each.message}" for each in caught]


def _ignore_noise() -> None:
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message)
