"""The settings that a search varies, and their values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kanlit.errors import ConfigurationError
from kanlit.hints import hint
from kanlit.runs.settings import read_mapping

if TYPE_CHECKING:
    from optuna import Trial

__all__ = ["Dimension", "default_space", "load_space", "with_values"]

_RANGE = ("low", "high", "log")
_WRAPPER = "init_args"

# Of these, a search varies those that the config has.
_DEFAULT: Mapping[str, Any] = {
    "model.hidden": [[], [1], [2], [3], [5], [10], [5, 5]],
    "model.grid_size": {"low": 3, "high": 24, "log": True},
    "model.spline_order": [2, 3, 4, 5],
    "model.optimizer.smoothness": ["auto", 1e-4, 1e-3, 1e-2, 1e-1],
}
_SCHEDULES = [[3], [6], [3, 6], [3, 6, 9, 12], [5, 10, 20]]  # instead of model.grid_size


@dataclass(frozen=True)
class Dimension:
    """A setting and the values that it can have.

    Attributes:
        key: Dotted key of the setting, without ``init_args``.
        choices: The values; empty for a range.
        low: Lower end of the range.
        high: Upper end. If both are integers, so are the values.
        log: Whether values are drawn by their logarithm.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def suggest(self, trial: Trial) -> Any:
        """The value that the sampler of a trial chooses."""
        if self.choices:
            # As text, because the storage has no lists.
            texts = [json.dumps(choice) for choice in self.choices]
            return json.loads(trial.suggest_categorical(self.key, texts))
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.key, self.low, self.high, log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)

    def value_of(self, parameters: Mapping[str, Any]) -> Any:
        """The value in the parameters of a finished trial."""
        value = parameters[self.key]
        return json.loads(value) if self.choices else value


def load_space(name: str, config: Mapping[str, Any]) -> list[Dimension]:
    """The space in a YAML file, which maps each key to a list of values or to a range.

    Args:
        name: Path of the file, or YAML text.
        config: All settings of a run, to which the keys must belong.

    Raises:
        ConfigurationError: The file cannot be read, a key is not a setting of the run, or values
            are malformed.
    """
    needs = "it needs settings and their values, such as model.hidden: [[2], [5]]"
    content = read_mapping(name, "space", "check its path", needs)
    known = list(_keys(config))
    found = []
    for key, values in content.items():
        if key not in known:
            raise ConfigurationError(
                f"the space has {key}, which is not a setting of this config: "
                f"{hint(str(key), known)}"
            )
        found.append(_dimension(key, values))
    if not found:
        raise ConfigurationError(f"the space has no settings: {needs}")
    return found


def default_space(config: Mapping[str, Any]) -> list[Dimension]:
    """Widths, G, degree and smoothness, as far as the config has them."""
    values = dict(_DEFAULT)
    if config.get("adaptation", {}).get("schedule"):
        del values["model.grid_size"]  # the schedule determines G
        values["adaptation.schedule"] = _SCHEDULES
    known = set(_keys(config))
    return [_dimension(key, value) for key, value in values.items() if key in known]


def with_values(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested settings with other values of these dotted keys."""
    changed = deepcopy(dict(config))
    for key, value in values.items():
        *path, last = key.split(".")
        place = changed
        for part in path:
            place = _inside(place[part])
        place[last] = value
    return changed


def _inside(value: Any) -> Any:
    return value.get(_WRAPPER, value) if isinstance(value, Mapping) else value


def _keys(config: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Dotted keys of nested settings, without ``init_args``."""
    for name, value in config.items():
        inner = _inside(value)
        yield f"{before}{name}"
        if isinstance(inner, Mapping):
            yield from _keys(inner, f"{before}{name}.")


def _dimension(key: str, values: Any) -> Dimension:
    if isinstance(values, Sequence) and not isinstance(values, str) and values:
        return Dimension(key, tuple(values))
    if not isinstance(values, Mapping) or not {"low", "high"} <= set(values):
        raise ConfigurationError(
            f"the space has {key}: {values!r}"[:200] + ": give a list of values, or a range such "
            "as {low: 3, high: 30, log: true}"
        )
    if unknown := [name for name in values if name not in _RANGE]:
        raise ConfigurationError(
            f"the range of {key} has {unknown[0]}: {hint(str(unknown[0]), _RANGE)}"
        )
    low, high, log = values["low"], values["high"], values.get("log", False)
    numbers = all(type(end) in (int, float) and math.isfinite(end) for end in (low, high))
    if not numbers or not low < high or (log and low <= 0) or not isinstance(log, bool):
        raise ConfigurationError(
            f"the range of {key} is {low} to {high}, log {log}: give two numbers, low below high, "
            f"and low above 0 for log: true"
        )
    return Dimension(key, (), low, high, log)
