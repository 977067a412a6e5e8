"""Merges the settings in a checkpoint with the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from kanlit.bases import basis_name
from kanlit.errors import ConfigurationError
from kanlit.runs.settings import Setting

__all__ = ["merged_settings"]

# Settings that define the network; the weights in a checkpoint require the same values.
_NETWORK = ("hidden", "spline_order", "grid_size", "outside", "basis", "initialization")


def merged_settings(
    content: Mapping[str, Any],
    kept: Mapping[str, Any],
    own: Namespace,
    given: Mapping[str, Setting],
    path: Path,
    resumes: bool,
) -> dict[str, Any]:
    """Settings of a module: those given by the user, otherwise those of the checkpoint.

    Args:
        content: The checkpoint.
        kept: Vetted settings of the module in the checkpoint.
        own: Settings of the module from the user, with defaults.
        given: Settings that the user has given, by key.
        path: Path of the checkpoint, for messages.
        resumes: Whether the run resumes the optimizer.

    Raises:
        ConfigurationError: If a setting differs from the checkpoint but has to be the same, or the
            user names no optimizer or scheduler and that of the checkpoint is not the default.
    """
    found = {}
    for name, value in kept.items():
        setting = given.get(f"model.{name}")
        mine = own.get(name)
        if isinstance(mine, type):  # the user's own basis, which a checkpoint saves by name
            mine = basis_name(mine)
        if setting is None or mine == "auto" or _alike(mine, value):
            found[name] = value
        elif name in _NETWORK:
            raise ConfigurationError(
                f"{setting.label} is {mine}, but the network in {path} has {name} {value}: leave "
                f"it out, train from the beginning, or start a new run from its weights with "
                f"init_from (docs/guide.md says which settings can change)"
            )
    if resumes:
        record = content.get("kanlit", {}).get("optimizer")
        for name in ("optimizer", "lr_scheduler"):
            if isinstance(record, Mapping):
                _keep_settings(name, record, own, given, path)
            record = record.get("scheduler") if isinstance(record, Mapping) else None
    return found


def _keep_settings(
    name: str, record: Mapping[str, Any], own: Namespace, given: Mapping[str, Setting], path: Path
) -> None:
    """Replaces defaults by the numbers in a checkpoint's record, if the class is the same."""
    key, made = f"model.{name}", own.get(name)
    was = str(record.get("class_path")).rpartition(".")[2]
    now = None if made is None else made.class_path.rpartition(".")[2]
    if was != now:
        if key not in given:
            raise ConfigurationError(
                f"{path} was trained with the {name} {was}, and this run names none: set {key} to "
                f"{was} to continue with it, or to another (null for none)"
            )
        return
    settings = record.get("settings")
    for setting in list(vars(made.init_args)) if made is not None and name == "optimizer" else ():
        kept = settings.get(setting) if isinstance(settings, Mapping) else None
        if f"{key}.{setting}" not in given and type(kept) in (int, float):
            made.init_args[setting] = kept


def _alike(a: Any, b: Any) -> bool:
    return bool(list(a) == list(b) if isinstance(a, list | tuple) else a == b)
