"""The paths in a checkpoint, which are never taken as they stand there."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

from kanlit.checkpoints.read import read_checkpoint
from kanlit.errors import ConfigurationError

__all__ = ["with_paths_beside"]

_BEST, _KEPT = "best_model_path", "best_k_models"


def with_paths_beside(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The content with the best checkpoints looked for beside it, by their names.

    A run keeps the scores of the best and where they are. Whoever has written the file chose those
    paths, and Lightning loads and removes what lies there.

    Args:
        content: A checkpoint's content; states of checkpoint callbacks are replaced in it.
        path: Where it was read.

    Raises:
        ConfigurationError: A state of a checkpoint callback that is not one.
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
        folder = path.parent.resolve()
        there = {old: _beside(old, folder, content) for old in [*kept, state[_BEST]]}
        state[_KEPT] = {there[old]: score for old, score in kept.items() if there[old]}
        state[_BEST] = there[state[_BEST]]
        state["kth_best_model_path"] = _beside(state.get("kth_best_model_path"), folder, content)
        state["last_model_path"] = ""
        state["dirpath"] = str(folder)
    return content


def _beside(old: Any, folder: Path, content: dict[str, Any]) -> str:
    """The checkpoint of that name in the folder, of a network of the same layers; else nothing."""
    name = PurePath(old).name if isinstance(old, str) else ""
    found = folder / name
    if not name.endswith(".ckpt") or not found.is_file():
        return ""
    try:
        other = read_checkpoint(found)
    except ConfigurationError:
        return ""
    return str(found) if other["state_dict"].keys() == content["state_dict"].keys() else ""
