"""Restores process-wide settings between runs of one process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["preserved_settings"]


@contextmanager
def preserved_settings(threads: int | None = None) -> Iterator[None]:
    """Restores on exit the process-wide settings that a trainer changes.

    These are the default dtype, deterministic algorithms, cuDNN's choice of algorithms, environment
    variables and the number of threads.

    Args:
        threads: Number of torch threads inside the context; unchanged if omitted.
    """
    environment = dict(os.environ)
    used = torch.get_num_threads()
    dtype = torch.get_default_dtype()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.benchmark
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(used)
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = cudnn
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
