"""Keeps what a run sets for its whole process from the next run in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["set_back"]


@contextmanager
def set_back(threads: int | None = None) -> Iterator[None]:
    """Afterwards all is as it was that a trainer sets for the process.

    That is the type of new tensors, deterministic algorithms, the choice of cuDNN's, environment
    variables and the number of threads.

    Args:
        threads: Threads of torch within it; left out, they stay.
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
