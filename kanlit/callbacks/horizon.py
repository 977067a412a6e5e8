"""Lets the end of a coordinate grow in stages."""

from __future__ import annotations

from typing import Any

from kanlit.callbacks.growing_end import GrowingEnd
from kanlit.problems import BoundaryValueProblem, Equation

__all__ = ["Horizon"]


class Horizon(GrowingEnd):
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

    def check(self, equation: Equation, values: list[float]) -> None:
        super().check(equation, values)
        for value in values:
            BoundaryValueProblem(self.changed(equation, value))
