"""Checks that the states in a checkpoint fit the run that resumes from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from kanlit.checkpoints.vet import check_weights, count, layer_shapes
from kanlit.errors import ConfigurationError

__all__ = ["ResumeCheck"]

# Optimizers whose state tensors differ in shape from their parameters.
_OTHER_SHAPES = ("LBFGS", "Adafactor", "Muon", "SparseAdam")
# Mappings of a ModelCheckpoint's state whose keys are paths and metrics, of one's own each time.
_OPEN = (".best_k_models", ".metrics")
_STAGES = {"fit": "fit_loop", "validate": "validate_loop", "test": "test_loop"}


class ResumeCheck(Callback):
    """Checks that the run's loops, callbacks, optimizers and schedulers can load a checkpoint.

    Each saved state must have the same keys and types as the initial state of the run. Otherwise
    loading would fail inside Lightning or torch, or several steps later.

    Raises:
        ConfigurationError: A state does not fit; raised before training starts.
    """

    def __init__(self) -> None:
        self._loaded: Mapping[str, Any] | None = None

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != "fit" and trainer.global_step > 0:
            return  # testing this run's own best checkpoint: the states are not initial
        with _named(trainer):
            self._check_loops(trainer, checkpoint)
            states = checkpoint["callbacks"]
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                key = callback.state_key
                if key in states:
                    strict = type(callback).__module__.startswith(("kanlit", "lightning"))
                    check_like(states[key], callback.state_dict(), key, strict)
            degree = checkpoint.get("hyper_parameters", {}).get("spline_order")
            for key, state in states.items():
                kept = state.get("kept") if isinstance(state, dict) else None
                if kept:
                    check_weights(kept, f"{key}.kept")
                    layer_shapes(kept, degree)
        self._loaded = checkpoint if trainer.state.fn == "fit" else None

    def _check_loops(self, trainer: Trainer, checkpoint: Mapping[str, Any]) -> None:
        name = _STAGES.get(str(trainer.state.fn), "predict_loop")
        loops = checkpoint.get("loops", {})
        if name not in loops:
            raise ValueError(f"there is no {name}")
        own = getattr(trainer, name).state_dict()
        for key, state in own.items():
            if key.endswith("state_dict"):
                check_like(loops[name].get(key), {}, key)
            else:
                _check_counts(loops[name].get(key), state, key)
        stepped = loops[name].get("epoch_loop.state_dict", {})
        count(stepped.get("_batches_that_stepped", 0), "_batches_that_stepped")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._loaded is None:
            return
        loaded, self._loaded = self._loaded, None
        with _named(trainer):
            for key in ("optimizer_states", "lr_schedulers"):
                if key not in loaded:
                    raise ValueError(f"there are no {key}, it holds weights alone")
            for optimizer, state in zip(
                trainer.optimizers, loaded["optimizer_states"], strict=False
            ):
                _check_optimizer(optimizer, state)
            for config, state in zip(
                trainer.lr_scheduler_configs, loaded["lr_schedulers"], strict=False
            ):
                check_like(state, config.scheduler.state_dict(), "lr_schedulers", strict=True)


@contextmanager
def _named(trainer: Trainer) -> Iterator[None]:
    """Turns a ``ValueError`` into a ``ConfigurationError`` that names the checkpoint."""
    try:
        yield
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(
            f"cannot resume from {trainer.ckpt_path} ({error}): use another checkpoint, or train "
            f"again from the start"
        ) from None


def check_like(state: Any, own: Any, name: str, strict: bool = False) -> None:
    """Raises if a state differs in keys or types from the object's ``own`` state.

    Args:
        state: The state in a checkpoint.
        own: The state of the object that loads it.
        name: Name of the state, for the message.
        strict: Whether a value that is None in ``own`` must be None, a number or a tensor.

    Raises:
        ValueError: The state does not fit.
    """
    fits: bool
    if isinstance(own, dict):
        fits = isinstance(state, dict)
        for key, inner in own.items() if fits and not name.endswith(_OPEN) else ():
            if key not in state:
                raise ValueError(f"{name} has no {key}")
            check_like(state[key], inner, f"{name}.{key}", strict)
    elif isinstance(own, list | tuple):
        fits = isinstance(state, list | tuple)
        if fits and len(state) == len(own):
            for mine, inner in zip(own, state, strict=True):
                check_like(inner, mine, name, strict)
    elif own is None:
        fits = not strict or state is None or type(state) in (bool, int, float, Tensor)
    elif isinstance(own, bool | str):
        fits = type(state) is type(own)
    elif isinstance(own, int | float | Tensor):
        fits = type(state) in (int, float) or (
            isinstance(state, Tensor)
            and state.dtype.is_floating_point
            and (state.ndim == 0 or isinstance(own, Tensor))
        )
    else:
        fits = True
    if not fits:
        raise ValueError(f"{name} is a {type(state).__name__}, not a {type(own).__name__}")


def _check_counts(state: Any, own: Any, name: str) -> None:
    """Checks the progress of a loop, which consists of counts and flags."""
    if isinstance(own, dict):
        if not isinstance(state, dict) or state.keys() != own.keys():
            raise ValueError(f"{name} is not the progress of a loop")
        for key, inner in own.items():
            _check_counts(state[key], inner, f"{name}.{key}")
    elif isinstance(own, bool):
        check_like(state, own, name)
    else:
        count(state, name)


def _check_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
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


def _check_moment(value: Any, parameter: Tensor, optimizer: str, name: str) -> None:
    if isinstance(value, list):
        for inner in value:
            _check_moment(inner, parameter, optimizer, name)
        return
    if isinstance(value, Tensor):
        free = value.ndim == 0 or optimizer in _OTHER_SHAPES
        if value.dtype.is_floating_point and (free or value.shape == parameter.shape):
            return
    elif value is None or type(value) in (bool, int, float):
        return
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    raise ValueError(f"{name} of its optimizer is {shape}, not {tuple(parameter.shape)}")


def _numbers(value: Any) -> Sequence[float]:
    values = value if isinstance(value, list | tuple) else [value]
    return [
        float(v) for v in values if type(v) in (int, float) or (torch.is_tensor(v) and v.ndim == 0)
    ]
