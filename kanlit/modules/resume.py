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
# States without a best score.
_RESET: Mapping[str, Mapping[str, Any]] = {
    "Checkpoint": {"best_model_score": None},
    "KeepBest": {"best": None, "kept": {}},
}


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


def forget_best(
    checkpoint: Mapping[str, Any], settings: Mapping[str, Any], callbacks: Iterable[Callback]
) -> list[str]:
    """Removes best scores from a checkpoint that the resumed run cannot compare with its own.

    Args:
        checkpoint: The checkpoint, changed in place.
        settings: Settings of the module of the resumed run.
        callbacks: Callbacks of the resumed run.

    Returns:
        Lines for the log: the validation loss is defined differently, or a callback monitors
        another metric.
    """
    kept, states = checkpoint.get("hyper_parameters", {}), checkpoint.get("callbacks", {})
    changed = [name for name in _OF_LOSS if name in kept and kept[name] != settings.get(name)]
    lines = []
    if changed:
        now = ", ".join(f"{name} {settings.get(name)}" for name in changed)
        lines.append(f"the best score is reset: val/loss is defined differently with {now}")
    for callback in callbacks:
        state = states.get(callback.state_key)
        if callback.state_key not in _RESET or not isinstance(state, dict):
            continue
        own = getattr(callback, "monitor", None)
        was = state.get("monitor", own)
        if was != own:
            lines.append(
                f"the best score is reset: {callback.state_key} monitors {own} now, {was} in the "
                f"checkpoint"
            )
        if changed or was != own:
            state |= _RESET[callback.state_key]
    return lines
