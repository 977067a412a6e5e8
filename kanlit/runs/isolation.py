"""Restores process-wide settings after a run in a process that does more."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["preserved_settings"]


@contextmanager
def preserved_settings(threads: int | None = None) -> Iterator[None]:
    """Restores on exit the process-wide settings that a trainer changes.

    These are the random generators, the default dtype, deterministic algorithms, cuDNN's choice of
    algorithms, environment variables and the number of threads.

    Args:
        threads: Number of torch threads inside the context; unchanged if omitted.
    """
    environment = dict(os.environ)
    drawn = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
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
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])  # noqa: NPY002
        torch.set_rng_state(drawn[2])
        torch.set_num_threads(used)
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = cudnn
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
