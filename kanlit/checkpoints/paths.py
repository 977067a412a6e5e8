"""Replaces the paths in a checkpoint, which are never trusted."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

from kanlit.checkpoints.read import read_checkpoint
from kanlit.errors import ConfigurationError

__all__ = ["with_paths_beside"]

_BEST, _KEPT = "best_model_path", "best_k_models"


def with_paths_beside(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Replaces the paths of the best checkpoints by files of the same name beside the checkpoint.

    A checkpoint has the scores and paths of the best checkpoints. The author of the file chose
    these paths, and Lightning would load and remove files there.

    Args:
        content: Content of a checkpoint; the states of checkpoint callbacks are changed in place.
        path: Path of the checkpoint.

    Raises:
        ConfigurationError: The state of a checkpoint callback is malformed.
    """
    for state in content.get("callbacks", {}).values():
        if _BEST not in state:
            continue
        kept = state.get(_KEPT)
        if not isinstance(kept, dict):
            raise ConfigurationError(
                f"{path} is malformed ({_KEPT} of its checkpoints is not a mapping): give a "
                f"checkpoint that kanlit fit has written"
            )
        if not all(isinstance(old, str) for old in [*kept, state[_BEST]]):
            raise ConfigurationError(
                f"{path} is malformed (a path of its best checkpoints is not a text): give a "
                f"checkpoint that kanlit fit has written"
            )
        folder = path.parent.resolve()
        there = {old: _beside(old, folder, content) for old in [*kept, state[_BEST]]}
        state[_KEPT] = {there[old]: score for old, score in kept.items() if there[old]}
        state[_BEST] = there[state[_BEST]]
        state["kth_best_model_path"] = _beside(state.get("kth_best_model_path"), folder, content)
        state["last_model_path"] = ""
        state["dirpath"] = str(folder)
    return content


def _beside(old: Any, folder: Path, content: dict[str, Any]) -> str:
    """The checkpoint of this name in the folder if it has the same layers; else an empty string."""
    name = PurePath(old).name if isinstance(old, str) else ""
    found = folder / name
    if not name.endswith(".ckpt") or not found.is_file():
        return ""
    try:
        other = read_checkpoint(found)
    except ConfigurationError:
        return ""
    return str(found) if other["state_dict"].keys() == content["state_dict"].keys() else ""
