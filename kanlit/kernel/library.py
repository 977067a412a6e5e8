"""Loads the compiled kernel and describes its argument to ctypes."""

from __future__ import annotations

import ctypes
import os
import sysconfig
from functools import cache
from pathlib import Path

import torch

__all__ = ["Problem", "load"]

_ABI = 1  # kAbi in problem.h; a different number means a library built from other sources

# Libraries to try, fastest first, by the CPU capability that torch reports.
_BUILDS = {"AVX512": ("_avx512", "_avx2", "_base"), "AVX2": ("_avx2", "_base")}

_SIZES = (
    "features", "outputs", "points", "pieces", "order", "bases", "variables", "pairs",
    "first_points", "second_points", "threads",
)  # fmt: skip
_ARRAYS = (
    "edges", "origin", "inverse_width", "polynomials", "lowest",
    "weight", "scale", "base", "bias",
    "x", "first", "second", "pair", "piece",
    "y", "y_first", "y_second", "y_grad", "y_first_grad", "y_second_grad",
    "x_grad", "first_grad", "second_grad", "weight_grad", "scale_grad", "base_grad", "bias_grad",
)  # fmt: skip


class Problem(ctypes.Structure):
    """Argument of a kernel call; see the struct in ``problem.h`` for its members."""

    _fields_ = [(name, ctypes.c_int64) for name in _SIZES] + [
        (name, ctypes.c_void_p) for name in _ARRAYS
    ]


@cache
def load() -> ctypes.CDLL | None:
    """The library for this processor; ``None`` if disabled, not built or of another ABI.

    The environment variable ``KANLIT_KERNEL=0`` disables the kernel; it is read once per process.
    """
    if os.environ.get("KANLIT_KERNEL", "1") == "0":
        return None
    folder, suffix = Path(__file__).parent, sysconfig.get_config_var("EXT_SUFFIX") or ".so"
    for name in _BUILDS.get(torch.backends.cpu.get_cpu_capability(), ("_base",)):
        library = _opened(folder / f"{name}{suffix}")
        if library is not None:
            return library
    return None


def _opened(path: Path) -> ctypes.CDLL | None:
    """The library at ``path``, or ``None`` if it is missing or incompatible."""
    try:
        library = ctypes.CDLL(os.fspath(path))
        library.kanlit_abi.restype = library.kanlit_problem_size.restype = ctypes.c_int64
        matches = (library.kanlit_abi(), library.kanlit_problem_size()) == (
            _ABI,
            ctypes.sizeof(Problem),
        )
        for call in ("forward", "backward"):
            for dtype in ("float32", "float64"):
                getattr(library, f"kanlit_{call}_{dtype}").argtypes = [ctypes.POINTER(Problem)]
    except (OSError, AttributeError):  # missing, or another library
        return None
    return library if matches else None
