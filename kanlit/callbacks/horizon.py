"""Lets the end of a coordinate grow in stages."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from kanlit.callbacks.stages import Stages
from kanlit.errors import ConfigurationError
from kanlit.problems import BoundaryValueProblem, Equation
from kanlit.problems.window import with_bounds

__all__ = ["Horizon"]


class Horizon(Stages):
    """Trains on the beginning of the time axis first, and lets its end grow in stages.

    The solution then spreads from the initial condition, instead of settling on another one at
    later times. Training and validation points lie within the horizon. See
    :class:`~kanlit.callbacks.Stages` for what happens at each stage.

    Args:
        coordinate: Name of the coordinate, usually t.
        schedule: Ends by epoch, from epoch 0 on, such as {0: 0.2, 30: 0.4, 60: null}, or a list of
            ends, spread evenly over the run. They rise, and the last is the end of the equation's
            domain; null stands for it. With a trigger, a list from which each firing takes the
            next end.
        **kwargs: The other arguments are those of :class:`~kanlit.callbacks.Stages`.

    Raises:
        ConfigurationError: A setting is out of range. At the start of training: the equation has no
            such coordinate or a condition at its end, or the schedule does not fit its bounds or
            the run.
        DivergenceError: In training: the loss explodes even after ``retries`` smaller steps.
    """

    def __init__(
        self,
        schedule: dict[int, float | None] | list[float | None],
        coordinate: str = "t",
        **kwargs: Any,
    ) -> None:
        super().__init__(coordinate, schedule, **kwargs)

    def own_value(self, equation: Equation) -> float:
        return float(equation.bounds[self._axis(equation)][1])

    def changed(self, equation: Equation, value: float) -> Equation:
        axis = self._axis(equation)
        return with_bounds(equation, axis, equation.bounds[axis][0], value)

    def check(self, equation: Equation, values: list[float]) -> None:
        axis, name = self._axis(equation), type(equation).__name__
        low, high = equation.bounds[axis]
        for value in values:
            if not low < value <= high:
                raise ConfigurationError(
                    f"schedule of the horizon has {self.name} = {value:g}, but {name} has "
                    f"{self.name} from {low:g} to {high:g}: give ends within it"
                )
        for before, after in pairwise(values):
            if not before < after:
                raise ConfigurationError(
                    f"schedule of the horizon falls from {self.name} = {before:g} to {after:g}: "
                    f"its ends must rise"
                )
        for condition, faces in BoundaryValueProblem(equation).faces.items():
            if (axis, 1) in faces:
                raise ConfigurationError(
                    f"condition {condition} of {name} holds at the end of {self.name}, so its "
                    f"horizon cannot grow: choose another coordinate, or remove Horizon"
                )
        super().check(equation, values)

    def _axis(self, equation: Equation) -> int:
        if self.name not in equation.coordinates:
            raise ConfigurationError(
                f"{type(equation).__name__} has no coordinate {self.name!r}: choose one of "
                f"{', '.join(equation.coordinates)}"
            )
        return equation.coordinates.index(self.name)
