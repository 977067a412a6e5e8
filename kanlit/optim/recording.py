"""Records the layer calls of a closure with their inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from kanlit.nn import KANLayer
from kanlit.nn.recording import recording
from kanlit.optim.calls import Call, Linear, LinearCall, SweepCall, ValueCall

__all__ = ["recorded"]


@contextmanager
def recorded(held: set[int]) -> Iterator[list[Call]]:
    """Records the calls of KAN layers and linear maps that own a parameter in ``held``.

    Within such a call the parameters of the layer are constants, and gradients can be taken at its
    outputs. A backward pass then computes only what the Jacobian needs, and still reaches
    parameters that are used outside the recorded calls.

    Args:
        held: Ids of the trained parameters.
    """
    calls: list[Call] = []

    def record(method: Callable[..., Any], layer: KANLayer, *args: Any, **kwargs: Any) -> Any:
        own = _trained(layer.parameters(recurse=False), held)
        with recording(None):  # nested calls are part of this call
            if not own:
                return method(layer, *args, **kwargs)
            try:
                for parameter in own:
                    parameter.requires_grad_(False)
                result = method(layer, *args, **kwargs)
            finally:
                for parameter in own:
                    parameter.requires_grad_(True)
        make = SweepCall if isinstance(result, tuple) else ValueCall
        outputs = _points(result if isinstance(result, tuple) else (result,))
        calls.append(make(layer, outputs, *args, **kwargs))
        return result

    with recording(record), _LinearCalls(held, calls):
        yield calls


class _LinearCalls(TorchFunctionMode):
    """Records ``torch.nn.functional.linear``, which ``nn.Linear`` calls."""

    def __init__(self, held: set[int], calls: list[Call]) -> None:
        super().__init__()
        self._held = held
        self._calls = calls

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear:
            return self._linear(*args, **kwargs)
        return func(*args, **kwargs)

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        own = {id(p) for p in _trained([weight, bias], self._held)}
        if not own:
            return F.linear(input, weight, bias)
        result = F.linear(
            input,
            weight.detach() if id(weight) in own else weight,
            bias.detach() if bias is not None and id(bias) in own else bias,
        )
        self._calls.append(LinearCall(Linear(weight, bias), _points((result,)), input))
        return result


def _trained(parameters: Iterable[Tensor | None], held: set[int]) -> list[Tensor]:
    """The parameters to record; none if gradients are disabled."""
    if not torch.is_grad_enabled():
        return []
    return [p for p in parameters if p is not None and p.requires_grad and id(p) in held]


def _points(outputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Makes gradients available at the outputs."""
    for output in outputs:
        if not output.requires_grad:
            output.requires_grad_()
    return tuple(outputs)
