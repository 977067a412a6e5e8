"""The values of a run's stages, and when each begins; plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from kanlit.adaptation import spread
from kanlit.errors import ConfigurationError

__all__ = ["StagePlan", "StageSchedule"]

StageSchedule = dict[int, float | None] | list[float | None]


class StagePlan:
    """Values of the stages in order; the last is the equation's own.

    Args:
        values: Value of each stage, at least one.
        starts: First epoch of each stage; None if a trigger decides.

    Attributes:
        index: The current stage, from 0.
    """

    def __init__(self, values: Sequence[float], starts: Sequence[int] | None) -> None:
        self.values = list(values)
        self.starts = None if starts is None else list(starts)
        self.index = 0

    @classmethod
    def from_schedule(
        cls, schedule: StageSchedule, own: float, name: str, epochs: int | None, triggered: bool
    ) -> StagePlan:
        """Resolves a schedule.

        Args:
            schedule: Values by epoch, or in order; None stands for ``own``.
            own: The equation's own value.
            name: What changes, for messages.
            epochs: Epochs of the run; None or -1 if not known.
            triggered: Whether a trigger decides when a stage begins.

        Raises:
            ConfigurationError: The schedule does not begin at epoch 0, does not end at ``own``, or
                is longer than the run; a value is not finite.
        """
        known = epochs if epochs is not None and epochs >= 0 else None
        times: list[int] | None = None
        if isinstance(schedule, Mapping):
            times = sorted(schedule)
            given = [schedule[time] for time in times]
        else:
            given = list(schedule)
        values = [own if value is None else float(value) for value in given]
        _check(name, given, values, own)
        if triggered:
            if times is not None:
                raise ConfigurationError(
                    f"schedule of {name} sets epochs, but its trigger chooses them: write a list "
                    f"of values, or remove the trigger"
                )
            return cls(values, None)
        if times is None:
            if known is None:
                raise ConfigurationError(
                    f"schedule of {name} is spread over the run, but max_epochs is not set: set "
                    f"trainer.max_epochs, or write it as {{epoch: value}}"
                )
            times = sorted(spread(range(len(values)), known))
            if len(times) < len(values):
                raise ConfigurationError(
                    f"schedule of {name} has {len(values)} stages, but max_epochs is {known}: "
                    f"raise trainer.max_epochs"
                )
        if times[0] != 0:
            raise ConfigurationError(
                f"schedule of {name} begins at epoch {times[0]}: give the value of epoch 0"
            )
        if known is not None and times[-1] >= known:
            raise ConfigurationError(
                f"schedule of {name} names epoch {times[-1]}, but max_epochs is {known}: raise "
                f"trainer.max_epochs or shorten the schedule"
            )
        return cls(values, times)

    @property
    def value(self) -> float:
        """Value of the current stage."""
        return self.values[self.index]

    @property
    def at_last(self) -> bool:
        return self.index == len(self.values) - 1

    def due(self, epoch: int) -> bool:
        """Whether the next stage begins at this epoch."""
        return self.starts is not None and not self.at_last and epoch >= self.starts[self.index + 1]

    def retreat(self, epoch: int) -> None:
        """Puts a stage halfway from the last one before the current one, which it delays.

        The new stage takes as many epochs as the last one.
        """
        before, current = self.values[self.index - 1], self.value
        self.values.insert(self.index, (before + current) / 2)
        if self.starts is not None:
            length = self.starts[self.index] - self.starts[self.index - 1]
            delay = epoch + length - self.starts[self.index]
            later = [start + delay for start in self.starts[self.index :]]
            self.starts[self.index :] = [epoch, *later]

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values, "starts": self.starts, "index": self.index}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> StagePlan:
        """The plan in a checkpoint.

        Raises:
            ValueError: It is malformed.
        """
        values, starts, index = state.get("values"), state.get("starts"), state.get("index")
        if (
            not isinstance(values, list)
            or not all(type(value) is float and math.isfinite(value) for value in values)
            or type(index) is not int
            or not 0 <= index < len(values)
        ):
            raise ValueError("its stages are malformed")
        if starts is not None and (
            not isinstance(starts, list)
            or len(starts) != len(values)
            or any(type(start) is not int for start in starts)
        ):
            raise ValueError("the epochs of its stages are malformed")
        plan = cls(values, starts)
        plan.index = index
        return plan


def _check(name: str, given: Sequence[float | None], values: Sequence[float], own: float) -> None:
    if not values:
        raise ConfigurationError(f"schedule of {name} is empty: give at least two values")
    for value in values:
        if not math.isfinite(value):
            raise ConfigurationError(f"schedule of {name} has the value {value}: give numbers")
    if None in given[:-1]:
        raise ConfigurationError(
            f"schedule of {name} has null before its end: only the last value may be null, the "
            f"equation's own"
        )
    if not math.isclose(values[-1], own, rel_tol=1e-9):
        raise ConfigurationError(
            f"schedule of {name} ends at {values[-1]:g}, but the equation has {own:g}: end it with "
            f"null, which stands for the equation's own value"
        )
    for before, after in pairwise(values):
        if before == after:
            raise ConfigurationError(f"schedule of {name} has {before:g} twice in a row")
