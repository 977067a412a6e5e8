"""Validates the content of a checkpoint before anything is built from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kanlit.adaptation import KnotHistory
from kanlit.errors import ConfigurationError
from kanlit.scaling import Columns

__all__ = ["LayerShape", "check_weights", "count", "layer_shapes", "vet"]

# Names of a KAN layer's tensors in a state.
KNOTS, COEFFICIENTS = "knots", "coefficients"
_FLOATS = (torch.float32, torch.float64)
_MOST = 2**53  # beyond it a count is no longer exact as a float


@dataclass(frozen=True)
class LayerShape:
    """Sizes of a KAN layer, derived from its tensors."""

    in_features: int
    out_features: int
    grid_size: int
    spline_order: int
    dtype: torch.dtype


def vet(content: Any, path: Path) -> dict[str, Any]:
    """Validates a checkpoint's content and returns it.

    Weights must be finite with matching shapes, knots strictly increasing, and epochs and steps
    counts; all other parts must have the types that kanlit and Lightning write. The states of
    optimizers and callbacks are checked when they are loaded.

    Args:
        content: The content, tensors and plain Python values.
        path: Path of the checkpoint, for messages.

    Raises:
        ConfigurationError: The content is not a checkpoint of a KAN, or it is malformed.
    """
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not any(str(key).endswith(f".{KNOTS}") for key in state):
        raise ConfigurationError(
            f"{path} is not a checkpoint of a KAN (no knots in it): give one that kanlit fit has "
            f"written"
        )
    assert isinstance(content, dict)
    try:
        for name, check in _PARTS.items():
            if name in content:
                check(content[name], name)
        layer_shapes(state, content.get("hyper_parameters", {}).get("spline_order"))
        _check_history(content.get("callbacks", {}).get("KnotPlotCallback", {}))
        columns = content.get("kanlit", {}).get("columns")
        if columns is not None:
            Columns.from_state_dict(columns)
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is malformed ({error}): give another, such as best or an earlier one that "
            f"kanlit fit has written"
        ) from None
    return content


def layer_shapes(state: Mapping[str, Any], order: Any = None) -> dict[str, LayerShape]:
    """Sizes of the KAN layers in a state, by their names with a trailing dot.

    Args:
        state: Tensors by name.
        order: Degree of the splines, if known from a setting; else derived as for B-splines.

    Raises:
        ValueError: Shapes of a layer's tensors do not match, or knots are not increasing.
    """
    found = {}
    for key in (key for key in state if key.endswith(f".{KNOTS}")):
        layer = key.removesuffix(KNOTS)
        knots, weight = state[key], state.get(layer + COEFFICIENTS)
        if not isinstance(weight, Tensor):
            raise ValueError(f"there are no coefficients beside {key}")
        if knots.ndim != 2 or weight.ndim != 3 or knots.dtype not in _FLOATS:
            raise ValueError(
                f"{key} has the shape {tuple(knots.shape)} and {knots.dtype}, its coefficients "
                f"{tuple(weight.shape)}"
            )
        outputs, inputs, bases = weight.shape
        degree = order if type(order) is int else knots.shape[1] - bases - 1
        grid_size = knots.shape[1] - 2 * degree - 1
        if not 1 <= degree <= 5 or grid_size < 1 or knots.shape[0] != inputs or not outputs:
            raise ValueError(f"{key} {tuple(knots.shape)} does not fit {tuple(weight.shape)}")
        if not bool((knots.diff(dim=1) > 0).all()):
            raise ValueError(f"{key} does not rise")
        found[layer] = LayerShape(inputs, outputs, grid_size, degree, knots.dtype)
    return found


# -- parts --------------------------------------------------------------------------------------


def count(value: Any, name: str) -> None:
    """Raises if a value is not an integer from 0 on.

    Raises:
        ValueError: The value is not a count.
    """
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError(f"{name} is {_shown(value)}, not a count")


def _text(value: Any, name: str) -> None:
    if type(value) is not str and value is not None:
        raise ValueError(f"{name} is {_shown(value)}, not a text")


def _mapping(value: Any, name: str) -> None:
    if type(value) is not dict or any(type(key) is not str for key in value):
        raise ValueError(f"{name} is {_shown(value)}, not a mapping")


def _mappings(value: Any, name: str) -> None:
    if type(value) is not dict:
        raise ValueError(f"{name} is {_shown(value)}, not a mapping")
    for key, inner in value.items():
        _mapping(inner, f"{name}.{key}")


def _loops(value: Any, name: str) -> None:
    """Checks the progress of the loops, which consists of counts and flags by name."""
    _mappings(value, name)
    for loop, state in value.items():
        for key, inner in state.items():
            if key.endswith("state_dict"):
                _mapping(inner, f"{name}.{loop}.{key}")
            else:
                _progress(inner, f"{name}.{loop}.{key}")


def _progress(value: Any, name: str) -> None:
    _mapping(value, name)
    for key, inner in value.items():
        if key in ("total", "current", "optimizer", "step", "zero_grad"):
            _progress(inner, f"{name}.{key}")
        elif type(inner) is not bool:
            count(inner, f"{name}.{key}")


def _list(value: Any, name: str) -> None:
    if type(value) is not list:
        raise ValueError(f"{name} is {_shown(value)}, not a list")
    for inner in value:
        if type(inner) is not dict:
            raise ValueError(f"{name} holds {_shown(inner)}, not a mapping")


def check_weights(state: Any, name: str) -> None:
    """Raises if a value is not a module's state with finite weights.

    Raises:
        ValueError: The state is malformed or not finite.
    """
    _mapping(state, name)
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{key} is {_shown(value)}, not a tensor")
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(f"{key} holds NaN or infinite values: training diverged")
        if value.dtype == torch.bool and not key.endswith(".edge_mask"):
            raise ValueError(f"{key} holds true and false, not numbers")


def _kanlit(value: Any, name: str) -> None:
    _mapping(value, name)
    checks = {
        "class_path": _text,
        "columns": _mapping,
        "weights": _mapping,
        "equation": _equation,
        "uncertainty": _uncertainty,
        "coefficients": _coefficients,
    }
    for key, check in checks.items():
        if value.get(key) is not None:
            check(value[key], f"{name}.{key}")


def _uncertainty(value: Any, name: str) -> None:
    _mapping(value, name)
    if set(value) != {"covariance", "noise"}:
        raise ValueError(f"{name} does not consist of covariance and noise")
    check_weights({"covariance": value["covariance"]}, name)
    covariance, noise = value["covariance"], value["noise"]
    square = covariance.ndim == 2 and covariance.shape[0] == covariance.shape[1]
    if covariance.dtype != torch.float64 or not square:
        raise ValueError(f"the covariance of {name} is not a square matrix in float64")
    if type(noise) is not float or not 0 <= noise < math.inf:
        raise ValueError(f"the noise of {name} is {_shown(noise)}, not a variance")


def _coefficients(value: Any, name: str) -> None:
    _mapping(value, name)
    unknowns, spread = value.get("unknowns"), value.get("spread")
    _mapping(unknowns, f"{name}.unknowns")
    if not all(_are(numbers, float, 3) for numbers in unknowns.values()):
        raise ValueError(f"{name}.unknowns is {_shown(unknowns)}, not three numbers each")
    if type(value.get("note")) is not str:
        raise ValueError(f"{name} has no note")
    if spread is None:
        return
    kinds = {"noise": float, "rows": int, "freedom": float, "deviations": list, "determined": list}
    fits = type(spread) is dict and {key: type(spread[key]) for key in spread} == kinds
    count = len(unknowns)
    if (
        not fits
        or not _are(spread["deviations"], float, count)
        or not _are(spread["determined"], bool, count)
    ):
        raise ValueError(f"{name}.spread is {_shown(spread)}, not standard errors")


def _are(value: Any, kind: type, count: int) -> bool:
    """Whether a value is a list of some numbers of a type."""
    return type(value) is list and [type(each) for each in value] == [kind] * count


def _equation(value: Any, name: str) -> None:
    _mapping(value, name)
    if type(value.get("class_path")) is not str:
        raise ValueError(f"{name} has no class path")
    arguments = value.get("init_args", {})
    _mapping(arguments, f"{name}.init_args")
    for key, argument in arguments.items():
        if type(argument) not in (bool, int, float, str):
            raise ValueError(f"{name}.{key} is {_shown(argument)}, not a number or a text")


def _version(value: Any, name: str) -> None:
    major, *others = str(value).split(".")
    if major != "2" or not all(part.isalnum() for part in others):
        raise ValueError(f"{name} is {_shown(value)}, not a version of Lightning 2")


def _check_history(state: Mapping[str, Any]) -> None:
    KnotHistory().load_state_dict(state.get("history", []))
    names = state.get("names", {})
    _mapping(names, "names of columns")
    for key, listed in names.items():
        if type(listed) is not list or any(type(name) is not str for name in listed):
            raise ValueError(f"names of {key} are {_shown(listed)}, not texts")


_PARTS: Mapping[str, Callable[[Any, str], None]] = {
    "state_dict": check_weights,
    "epoch": count,
    "global_step": count,
    "pytorch-lightning_version": _version,
    "loops": _loops,
    "callbacks": _mappings,
    "optimizer_states": _list,
    "lr_schedulers": _list,
    "hparams_name": _text,
    "hyper_parameters": _mapping,
    "kanlit": _kanlit,
    "EquationData": _mapping,
}


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype}"
    text = repr(value)
    return text if len(text) < 50 else f"a {type(value).__name__}"
