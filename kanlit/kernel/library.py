"""Loads the compiled kernel and describes its argument to ctypes."""

from __future__ import annotations

import ctypes
import os
import sysconfig
from functools import cache
from pathlib import Path

import torch

__all__ = ["HIGHEST_ORDER", "Problem", "Product", "load"]

HIGHEST_ORDER = 4  # kOrder in problem.h

_ABI = 2  # kAbi in problem.h; a different number means a library built from other sources

# Libraries to try, fastest first, by the CPU capability that torch reports.
_BUILDS = {"AVX512": ("_avx512", "_avx2", "_base"), "AVX2": ("_avx2", "_base")}

_SIZES = (
    "features", "outputs", "points", "pieces", "order", "bases", "streams", "highest", "terms",
    "products", "stream_points", "threads",
)  # fmt: skip
_ARRAYS = (
    "edges", "origin", "inverse_width", "polynomials", "lowest",
    "weight", "scale", "base", "bias",
    "x", "stream", "product", "piece", "y", "y_stream", "y_grad", "y_stream_grad",
    "x_grad", "stream_grad", "weight_grad", "scale_grad", "base_grad", "bias_grad",
)  # fmt: skip


class Product(ctypes.Structure):
    """One product in the chain rule; see the struct in ``problem.h`` for its members."""

    _fields_ = [
        ("term", ctypes.c_int64),
        ("count", ctypes.c_int64),
        ("factors", ctypes.c_int64),
        ("factor", ctypes.c_int64 * HIGHEST_ORDER),
    ]


class Problem(ctypes.Structure):
    """Argument of a kernel call; see the struct in ``problem.h`` for its members."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in _SIZES),
        ("of_order", ctypes.c_int64 * (HIGHEST_ORDER + 1)),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
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
