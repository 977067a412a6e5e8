"""Numbers in arithmetic that keep their full precision in an ONNX file."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["FullPrecision"]

_ARITHMETIC = ("add", "sub", "rsub", "mul", "div", "rdiv", "true_divide", "truediv", "pow", "rpow")


class FullPrecision(TorchFunctionMode):
    """Turns Python's floats in arithmetic with float64 tensors into float64 tensors.

    The ONNX exporter rounds them to float32 otherwise.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.__name__.strip("_") in _ARITHMETIC:
            double = next(
                (a for a in args if isinstance(a, Tensor) and a.dtype == torch.float64), None
            )
            if double is not None:
                args = tuple(double.new_tensor(a) if type(a) is float else a for a in args)
        return func(*args, **(kwargs or {}))
