"""Finds the compiled kernel and describes its one function call to ctypes."""

from __future__ import annotations

import ctypes
import os
import sysconfig
from functools import cache
from pathlib import Path

import torch

__all__ = ["Problem", "load"]

_ABI = 1  # kAbi in problem.h: another number is a library built from other sources

# The libraries that may be there, best first, for what torch says of the processor.
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
    """What one call works on: the struct of ``problem.h``, where its members are explained."""

    _fields_ = [(name, ctypes.c_int64) for name in _SIZES] + [
        (name, ctypes.c_void_p) for name in _ARRAYS
    ]


@cache
def load() -> ctypes.CDLL | None:
    """The library for this processor, or None: switched off, not built, or built for another ABI.

    Read once a process: ``KANLIT_KERNEL=0`` in the environment switches the kernel off.
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
    """The library at ``path`` if there is one that these sources can call."""
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
    except (OSError, AttributeError):  # not there, or not ours
        return None
    return library if matches else None
