"""Triggers, which decide during the run when to adapt."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kanlit.errors import ConfigurationError, check_at_least

__all__ = [
    "AllTrigger",
    "AnyTrigger",
    "Observation",
    "PeriodicTrigger",
    "PlateauTrigger",
    "Trigger",
]


@dataclass(frozen=True)
class Observation:
    """What a trigger can observe before an epoch (or step) begins; the same on every rank.

    Attributes:
        time: The epoch, or the optimizer step, that is about to begin; from 0.
        loss: Mean training loss over the previous epoch (or step); ``None`` before the first. NaN
            or infinite if training has diverged.
        metrics: Validation metrics logged since the last observation; empty without validation.
    """

    time: int
    loss: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)


class Trigger(ABC):
    """Base class of all triggers. A custom trigger is a subclass, named in YAML by its class path.

    It is called once before each epoch (or step), in order. Its ``state_dict`` is stored in
    checkpoints and must consist of plain numbers, strings, lists and dicts.
    """

    @abstractmethod
    def fires(self, observation: Observation) -> bool:
        """Whether to adapt now; called once per epoch (or step)."""

    def state_dict(self) -> dict[str, Any]:
        """The state, for checkpoints."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - some have no state
        """Restores a state from :meth:`state_dict`."""


class PeriodicTrigger(Trigger):
    """Fires at every n-th epoch (or step), starting at ``start``.

    Args:
        every: Period in epochs (or steps), at least 1.
        start: First epoch (or step) at which it fires, at least 0.
    """

    def __init__(self, every: int, start: int = 0) -> None:
        check_at_least("every", every, 1)
        check_at_least("start", start, 0)
        self.every = every
        self.start = start

    def fires(self, observation: Observation) -> bool:
        since = observation.time - self.start
        return since >= 0 and since % self.every == 0


class PlateauTrigger(Trigger):
    r"""Fires when the training loss, or a validation metric, has stopped decreasing.

    A loss is an improvement if it is below the best loss so far, L, by more than
    :math:`\theta |L|`. After ``patience`` epochs (or steps) without improvement the trigger fires,
    resets the best loss and pauses for ``cooldown`` epochs (or steps). A loss that is not finite is
    ignored, because new knots cannot repair a run that has diverged.

    Args:
        patience: Epochs (or steps) without improvement before it fires, at least 1.
        threshold: θ, smallest relative improvement, 0 to 1.
        cooldown: Pause in epochs (or steps) after it has fired, at least 0.
        at_start: Also fire at the first epoch (or step), on the untrained network.
        monitor: Validation metric to monitor instead of the training loss, such as val/loss;
            patience and cooldown then count validations.
    """

    def __init__(
        self,
        patience: int = 50,
        threshold: float = 0.05,
        cooldown: int = 50,
        at_start: bool = True,
        monitor: str | None = None,
    ) -> None:
        check_at_least("patience", patience, 1)
        if not 0 <= threshold < 1:
            raise ConfigurationError(f"threshold must lie in [0, 1), got {threshold}")
        check_at_least("cooldown", cooldown, 0)
        self.patience = patience
        self.threshold = threshold
        self.cooldown = cooldown
        self.at_start = at_start
        self.monitor = monitor
        self._best: float | None = None
        self._waited = 0
        self._rest = 0

    def fires(self, observation: Observation) -> bool:
        value = self._monitored(observation)
        if value is None:
            return self.at_start and observation.time == 0
        if self._rest > 0:
            self._rest -= 1
            return False
        if not math.isfinite(value):
            return False
        best = self._best
        if best is None or value < best - self.threshold * abs(best):
            self._best = value
            self._waited = 0
            return False
        self._waited += 1
        if self._waited < self.patience:
            return False
        self._best, self._waited, self._rest = None, 0, self.cooldown
        return True

    def _monitored(self, observation: Observation) -> float | None:
        if self.monitor is None:
            return observation.loss
        if observation.metrics and self.monitor not in observation.metrics:
            raise ConfigurationError(
                f"PlateauTrigger monitors {self.monitor!r}, which validation does not log: set "
                f"monitor to one of {', '.join(sorted(observation.metrics))}"
            )
        return observation.metrics.get(self.monitor)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "waited": self._waited, "rest": self._rest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best, self._waited, self._rest = state["best"], state["waited"], state["rest"]


class _Several(Trigger):
    """Base class of combined triggers; calls every trigger each time, so all observe the run."""

    def __init__(self, triggers: list[Trigger]) -> None:
        if not triggers:
            raise ConfigurationError(f"{type(self).__name__} needs at least one trigger")
        self.triggers = list(triggers)

    def _answers(self, observation: Observation) -> list[bool]:
        return [trigger.fires(observation) for trigger in self.triggers]

    def state_dict(self) -> dict[str, Any]:
        return {"triggers": [trigger.state_dict() for trigger in self.triggers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if len(state["triggers"]) != len(self.triggers):
            raise ConfigurationError(
                f"the checkpoint's {type(self).__name__} has {len(state['triggers'])} triggers, "
                f"but this run has {len(self.triggers)}: use the same triggers as that run"
            )
        for trigger, own in zip(self.triggers, state["triggers"], strict=True):
            trigger.load_state_dict(own)


class AnyTrigger(_Several):
    """Fires when at least one of several triggers fires.

    Args:
        triggers: The triggers, at least one.
    """

    def fires(self, observation: Observation) -> bool:
        return any(self._answers(observation))


class AllTrigger(_Several):
    """Fires when all triggers have fired since it last fired itself.

    Triggers seldom fire in the same epoch, so each firing is remembered until all have fired.

    Args:
        triggers: The triggers, at least one.
    """

    def __init__(self, triggers: list[Trigger]) -> None:
        super().__init__(triggers)
        self._fired = [False] * len(triggers)

    def fires(self, observation: Observation) -> bool:
        answers = self._answers(observation)
        self._fired = [old or new for old, new in zip(self._fired, answers, strict=True)]
        if not all(self._fired):
            return False
        self._fired = [False] * len(self.triggers)
        return True

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "fired": list(self._fired)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._fired = list(state["fired"])
