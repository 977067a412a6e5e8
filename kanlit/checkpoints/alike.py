"""Compares the structure of a saved state with that of the object that loads it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

__all__ = ["check_like"]

# Mappings of a ModelCheckpoint's state whose keys are paths and metrics, of one's own each time.
_OPEN = (".best_k_models", ".metrics")


def check_like(state: Any, own: Any, name: str, strict: bool = False) -> None:
    """Raises if a state differs in keys or types from the object's ``own`` state.

    Args:
        state: The state in a checkpoint.
        own: The state of the object that loads it.
        name: Name of the state, for the message.
        strict: Whether a value that is None in ``own`` must be None, a number or a tensor.

    Raises:
        ValueError: The state does not fit.
    """
    fits: bool
    if isinstance(own, dict):
        fits = isinstance(state, dict)
        for key, inner in own.items() if fits and not name.endswith(_OPEN) else ():
            if key not in state:
                raise ValueError(f"{name} has no {key}")
            check_like(state[key], inner, f"{name}.{key}", strict)
    elif isinstance(own, list | tuple):
        fits = isinstance(state, list | tuple)
        if fits and len(state) == len(own):
            for mine, inner in zip(own, state, strict=True):
                check_like(inner, mine, name, strict)
    elif own is None:
        fits = not strict or state is None or type(state) in (bool, int, float, Tensor)
    elif isinstance(own, bool | str):
        fits = type(state) is type(own)
    elif isinstance(own, int | float | Tensor):
        fits = type(state) in (int, float) or (
            isinstance(state, Tensor)
            and state.dtype.is_floating_point
            and (state.ndim == 0 or isinstance(own, Tensor))
        )
    else:
        fits = True
    if not fits:
        raise ValueError(f"{name} is a {type(state).__name__}, not a {type(own).__name__}")
