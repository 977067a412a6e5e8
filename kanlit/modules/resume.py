"""Brings what a checkpoint holds of callbacks in line with the settings of the run that resumes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

__all__ = ["forget_best", "keep_settings"]

# Settings that define val/loss, so that values under another setting cannot be compared.
_OF_LOSS = ("robust", "boundary_weight")


def keep_settings(checkpoint: Mapping[str, Any], callbacks: Iterable[Callback]) -> None:
    """Puts the callbacks' own settings into their states in a checkpoint, in place.

    EarlyStopping keeps its patience among its state and would take the checkpoint's.
    """
    states = checkpoint.get("callbacks", {})
    for callback in callbacks:
        state = states.get(callback.state_key)
        if isinstance(callback, ModelCheckpoint) or not isinstance(state, dict):
            continue  # the former compares its folder with the state's
        for name in inspect.signature(type(callback).__init__).parameters:
            value = getattr(callback, name, None)
            if name in state and isinstance(value, bool | int | float | str):
                state[name] = value


def forget_best(checkpoint: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    """Takes the best so far out of a checkpoint where validation now measures another loss.

    Args:
        checkpoint: Changed in place.
        settings: Of the module that resumes.

    Returns:
        What the user is told, if anything.
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
    return f"the best so far is forgotten: val/loss is another one with {now}"
