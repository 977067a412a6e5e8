"""A context in which a recorder intercepts the evaluations of KAN layers."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

__all__ = ["Recorder", "recordable", "recording"]

Recorder = Callable[..., Any]
"""Called with the method, the layer and the method's arguments; returns the method's result."""

_Method = TypeVar("_Method", bound=Callable[..., Any])


class _Context(threading.local):
    recorder: Recorder | None = None


_context = _Context()


@contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """Passes the evaluations of this thread to ``recorder``; ``None`` disables recording."""
    previous = _context.recorder
    _context.recorder = recorder
    try:
        yield
    finally:
        _context.recorder = previous


def recordable(method: _Method) -> _Method:
    """Decorates a layer method that can be recorded; compiled graphs are never recorded."""

    @functools.wraps(method)
    def evaluate(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() or _context.recorder is None:
            return method(layer, *args, **kwargs)
        return _context.recorder(method, layer, *args, **kwargs)

    return evaluate  # type: ignore[return-value]
