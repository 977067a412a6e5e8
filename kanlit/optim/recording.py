"""Records which layers a closure calls, on what inputs, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from kanlit.nn import KANLayer
from kanlit.optim.calls import Call, LinearCall, SweepCall, ValueCall

__all__ = ["recorded"]

_METHODS: tuple[tuple[type[nn.Module], str, Callable[..., Call]], ...] = (
    (KANLayer, "forward", ValueCall),
    (KANLayer, "sweep", SweepCall),
    (nn.Linear, "forward", LinearCall),
)


@contextmanager
def recorded(held: set[int]) -> Iterator[list[Call]]:
    """Records the calls of KAN and linear layers that own a parameter of ``held``.

    Within such a call the layer's own parameters are constants, and its outputs are points at
    which gradients can be taken. So a backward pass gives what a Jacobian needs, leaves out the
    rest, and still finds a parameter that is used in any other way.

    Args:
        held: Identities of the parameters that are trained.
    """
    calls: list[Call] = []
    # On the classes, not by hooks: a sweep has none, and in a subclass's forward a hook would
    # see what the subclass makes of the layer's own inputs and outputs.
    originals = [vars(owner)[name] for owner, name, _ in _METHODS]
    inside = _Flag()
    for (owner, name, make), original in zip(_METHODS, originals, strict=True):
        setattr(owner, name, _recording(original, make, calls, held, inside))
    try:
        yield calls
    finally:
        for (owner, name, _), original in zip(_METHODS, originals, strict=True):
            setattr(owner, name, original)


class _Flag:
    """Whether a recorded call is under way: what it calls itself is part of it."""

    on = False


def _recording(
    original: Callable[..., Any],
    make: Callable[..., Call],
    calls: list[Call],
    held: set[int],
    inside: _Flag,
) -> Callable[..., Any]:
    """A method that does what ``original`` does and records it."""

    def method(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
        own = [p for p in layer.parameters(recurse=False) if p.requires_grad and id(p) in held]
        if inside.on or not own or not torch.is_grad_enabled():
            return original(layer, *args, **kwargs)
        inside.on = True
        try:
            for parameter in own:
                parameter.requires_grad_(False)
            result = original(layer, *args, **kwargs)
        finally:
            inside.on = False
            for parameter in own:
                parameter.requires_grad_(True)
        outputs = result if isinstance(result, tuple) else (result,)
        for output in outputs:
            if not output.requires_grad:
                output.requires_grad_()
        calls.append(make(layer, outputs, *args, **kwargs))
        return result

    return method
