"""Reconciles the callback states of a checkpoint with the settings of a resumed run."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

__all__ = ["forget_best", "keep_settings"]

# Settings that define val/loss: its values are comparable only if these are unchanged.
_OF_LOSS = ("robust", "boundary_weight")


def keep_settings(checkpoint: Mapping[str, Any], callbacks: Iterable[Callback]) -> None:
    """Replaces settings in a checkpoint's callback states by those of the callbacks, in place.

    EarlyStopping, for example, saves its patience in its state and would restore the old value.
    """
    states = checkpoint.get("callbacks", {})
    for callback in callbacks:
        state = states.get(callback.state_key)
        if isinstance(callback, ModelCheckpoint) or not isinstance(state, dict):
            continue  # ModelCheckpoint compares its folder with the one in the state
        for name in inspect.signature(type(callback).__init__).parameters:
            value = getattr(callback, name, None)
            if name in state and isinstance(value, bool | int | float | str):
                state[name] = value


def forget_best(checkpoint: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    """Removes the best score from a checkpoint if the validation loss is now defined differently.

    Args:
        checkpoint: The checkpoint, changed in place.
        settings: Settings of the module of the resumed run.

    Returns:
        A line for the log, or None if nothing changed.
    """
    kept, states = checkpoint.get("hyper_parameters", {}), checkpoint.get("callbacks", {})
    changed = [name for name in _OF_LOSS if name in kept and kept[name] != settings.get(name)]
    if not changed:
        return None
    if isinstance(states.get("Checkpoint"), dict):
        states["Checkpoint"]["best_model_score"] = None
    if isinstance(states.get("KeepBest"), dict):
        states["KeepBest"] |= {"best": None, "kept": {}}
    now = ", ".join(f"{name} {settings.get(name)}" for name in changed)
    return f"the best score is reset: val/loss is defined differently with {now}"
