"""Checks that the states in a checkpoint fit the run that resumes from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from kanlit.checkpoints.alike import check_like
from kanlit.checkpoints.optimizer_states import check_optimizer_state
from kanlit.checkpoints.vet import check_weights, count, layer_shapes
from kanlit.errors import ConfigurationError

__all__ = ["ResumeCheck"]

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
                check_optimizer_state(optimizer, state)
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
