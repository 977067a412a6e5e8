"""Optimizer and scheduler states of a resumed run whose settings may have changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

__all__ = ["adopt", "describe"]

_RATES = ("base_lrs", "_last_lr")  # scheduler state that follows the optimizer settings


def describe(optimizer: Optimizer, scheduler: Any) -> dict[str, Any]:
    """Class paths and settings of an optimizer and its scheduler, as plain Python objects.

    Args:
        optimizer: The optimizer, newly created.
        scheduler: Its scheduler, newly created, or ``None``.

    Returns:
        ``class_path`` and ``settings`` of the optimizer, and ``scheduler`` with the same keys.
    """
    record = {"class_path": _path(optimizer), "settings": _plain(optimizer.defaults)}
    if scheduler is None:
        return {**record, "scheduler": None}
    settings = _without_rates(_plain(scheduler.state_dict()))
    return {**record, "scheduler": {"class_path": _path(scheduler), "settings": settings}}


def adopt(checkpoint: dict[str, Any], optimizer: Optimizer, scheduler: Any) -> list[str]:
    """Adapts the states in a checkpoint to the optimizer and scheduler that will load them.

    New settings replace those in the checkpoint. A learning rate that a scheduler has changed is
    multiplied by the ratio of new to old setting. The state is reset if the class differs, or a
    setting that determines the contents of the state.

    Args:
        checkpoint: Its ``optimizer_states`` and ``lr_schedulers`` are replaced; a malformed
            checkpoint is left unchanged.
        optimizer: The optimizer, newly created.
        scheduler: Its scheduler, newly created, or ``None``.

    Returns:
        One line per change.
    """
    kept, own = checkpoint.get("kanlit", {}).get("optimizer"), describe(optimizer, scheduler)
    states, schedules = checkpoint.get("optimizer_states"), checkpoint.get("lr_schedulers")
    if not isinstance(states, list) or not isinstance(schedules, list):
        return []
    if not (_is_record(kept) and _is_state(states)):
        return []
    fresh = [] if scheduler is None else [scheduler.state_dict()]
    was, now = kept["settings"], own["settings"]
    changed = {key: value for key, value in now.items() if value != was.get(key)}
    restarts = [key for key, value in changed.items() if _decides_state(key, was.get(key), value)]
    other = kept["class_path"] != own["class_path"]
    if other or restarts:
        checkpoint["optimizer_states"] = [optimizer.state_dict()]
        checkpoint["lr_schedulers"] = fresh
        restarts = [] if other else restarts
        old = _name(kept) + "".join(f", {key} {was.get(key)}" for key in restarts)
        new = _name(own) + "".join(f", {key} {now[key]}" for key in restarts)
        return [f"optimizer reset: {new} now, {old} in the checkpoint"]
    lines = [
        f"{key} is {value} now, {was.get(key)} in the checkpoint" for key, value in changed.items()
    ]
    groups = states[0]["param_groups"]
    if kept.get("scheduler") != own["scheduler"]:
        checkpoint["lr_schedulers"] = fresh
        for group, mine in zip(groups, optimizer.state_dict()["param_groups"], strict=False):
            group.clear()
            group.update(mine)
        old, new = (_name(each["scheduler"]) for each in (kept, own))
        settings = " with other settings" if old == new else ""
        lines.append(f"lr_scheduler reset: {new} now, {old}{settings} in the checkpoint")
        return lines
    for group in groups:
        for key, value in changed.items():
            group[key] = (
                _scaled(group.get(key), was.get(key), value)
                if key == "lr"
                else optimizer.defaults[key]
            )
            if key == "lr" and "initial_lr" in group:
                group["initial_lr"] = value
    if "lr" in changed and fresh and schedules:
        ratio = changed["lr"] / was["lr"] if was.get("lr") else 1.0
        checkpoint["lr_schedulers"] = [_rescaled(schedules[0], fresh[0], ratio)]
    return lines


def _decides_state(key: str, was: Any, now: Any) -> bool:
    """Whether a setting switches something on or off, such as amsgrad or momentum."""
    if key == "momentum":
        return bool(was) != bool(now)
    return any(value is None or isinstance(value, bool) for value in (was, now))


def _scaled(current: Any, was: Any, now: Any) -> Any:
    return now if current == was or not was else current * (now / was)


def _rescaled(state: Any, fresh: Any, ratio: float) -> Any:
    """A scheduler state with the base rates of ``fresh`` and its last rates multiplied."""
    if isinstance(state, list) and isinstance(fresh, list) and len(state) == len(fresh):
        return [_rescaled(*pair, ratio) for pair in zip(state, fresh, strict=True)]
    if not (isinstance(state, dict) and isinstance(fresh, Mapping)):
        return state
    new = {key: _rescaled(value, fresh.get(key), ratio) for key, value in state.items()}
    if "base_lrs" in new and "base_lrs" in fresh:
        new["base_lrs"] = fresh["base_lrs"]
    if isinstance(new.get("_last_lr"), list):
        new["_last_lr"] = [ratio * rate for rate in new["_last_lr"]]
    return new


def _is_record(kept: Any) -> bool:
    return (
        isinstance(kept, dict)
        and isinstance(kept.get("class_path"), str)
        and isinstance(kept.get("settings"), dict)
        and (kept.get("scheduler") is None or _is_record(kept["scheduler"]))
    )


def _is_state(states: Any) -> bool:
    return (
        isinstance(states, list)
        and len(states) == 1
        and isinstance(states[0], dict)
        and isinstance(states[0].get("param_groups"), list)
        and all(isinstance(group, dict) for group in states[0]["param_groups"])
    )


def _name(record: Mapping[str, Any] | None) -> str:
    return "none" if record is None else str(record["class_path"]).rpartition(".")[2]


def _path(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _without_rates(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_rates(v) for k, v in value.items() if k not in _RATES}
    return [_without_rates(v) for v in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """Keeps numbers, strings and their containers; replaces anything else by ``None``."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if type(k) in (str, int)}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if type(value) in (bool, int, float, str) else None
