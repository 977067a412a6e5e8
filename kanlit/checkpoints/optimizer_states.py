"""Checks that a saved optimizer state fits the optimizer that loads it."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer, SparseAdam

from kanlit.checkpoints.alike import check_like

__all__ = ["check_optimizer_state"]

# Optimizers whose state tensors differ in shape from their parameters.
_OTHER_SHAPES = ("LBFGS", "Adafactor", "Muon", "SparseAdam")


def check_optimizer_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Raises if an optimizer cannot go on from a saved state.

    Args:
        optimizer: The optimizer, newly created.
        state: Its ``state_dict`` in a checkpoint.

    Raises:
        ValueError: The state does not fit.
    """
    own = optimizer.state_dict()
    groups = state.get("param_groups")
    if not isinstance(groups, list) or len(groups) != len(own["param_groups"]):
        raise ValueError("its optimizer has other parameter groups")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for group, mine in zip(groups, own["param_groups"], strict=True):
        check_like(group, mine, "param_groups", strict=True)
        if group["params"] != mine["params"]:
            raise ValueError("its optimizer has other parameters")
        for key, value in group.items():
            if not all(math.isfinite(number) for number in _numbers(value)):
                raise ValueError(f"{key} of its optimizer is not finite")
    moments = state.get("state")
    if not isinstance(moments, dict):
        raise ValueError("its optimizer has no state")
    for number, kept in moments.items():
        if type(number) is not int or not 0 <= number < len(parameters):
            raise ValueError(f"its optimizer has a state of an unknown parameter {number!r}")
        if not isinstance(kept, dict):
            raise ValueError(f"the optimizer's state of parameter {number} is not a mapping")
        for key, value in kept.items():
            _check_moment(value, parameters[number], type(optimizer).__name__, f"{key}")
            kind = getattr(optimizer, "state_kinds", {}).get(key, object)
            if not isinstance(value, kind):
                raise ValueError(f"{key} of its optimizer is {value!r}, not a {kind.__name__}")
    if f"{type(optimizer).__module__}.".startswith("torch.optim."):
        _try_step(optimizer, state)


def _try_step(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Raises if the optimizer cannot take a step from a state; tried on a copy.

    Torch does not check the entries of a state when it loads them.
    """
    groups = [
        {**group, "params": [torch.ones_like(p, requires_grad=True) for p in group["params"]]}
        for group in optimizer.param_groups
    ]
    make: Any = type(optimizer)
    twin: Optimizer = make(groups)
    parameters = [parameter for group in groups for parameter in group["params"]]

    def closure() -> float:
        for parameter in parameters:
            ones = torch.ones_like(parameter)
            parameter.grad = ones.to_sparse() if isinstance(twin, SparseAdam) else ones
        return 0.0

    try:
        twin.load_state_dict(copy.deepcopy(dict(state)))
        twin.step(closure)
    except Exception as error:
        name, said = type(error).__name__, " ".join(str(error).split())[:100]
        raise ValueError(
            f"the state of its {type(optimizer).__name__} does not fit: {name}, {said}"
        ) from None


def _check_moment(value: Any, parameter: Tensor, optimizer: str, name: str) -> None:
    if isinstance(value, list):
        for inner in value:
            _check_moment(inner, parameter, optimizer, name)
        return
    if isinstance(value, Tensor):
        free = value.ndim == 0 or optimizer in _OTHER_SHAPES
        if value.dtype.is_floating_point and (free or value.shape == parameter.shape):
            return
    elif value is None or (type(value) in (bool, int, float) and math.isfinite(value)):
        return
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    raise ValueError(f"{name} of its optimizer is {shape}, not {tuple(parameter.shape)}")


def _numbers(value: Any) -> Sequence[float]:
    values = value if isinstance(value, list | tuple) else [value]
    return [
        float(v) for v in values if type(v) in (int, float) or (torch.is_tensor(v) and v.ndim == 0)
    ]
