"""Changes a number of the equation in stages."""

from __future__ import annotations

import copy
from typing import Any

from kanlit.callbacks.stages import Stages
from kanlit.errors import ConfigurationError
from kanlit.problems import Equation
from kanlit.problems.record import rebuilt

__all__ = ["Continuation"]


class Continuation(Stages):
    """Trains on easier equations first, by changing one number of the equation in stages.

    A viscosity that falls from stage to stage, for example, lets a front sharpen while points and
    grids follow it. See :class:`~kanlit.callbacks.Stages` for what happens at each stage.

    Args:
        number: Name of the number, an attribute of the equation, such as viscosity. The equation
            must use it wherever it computes.
        schedule: Values by epoch, from epoch 0 on, such as {0: 0.05, 30: 0.03, 60: null}, or a list
            of values, spread evenly over the run. The last is the equation's own; null stands for
            it. With a trigger, a list from which each firing takes the next value.
        **kwargs: The other arguments are those of :class:`~kanlit.callbacks.Stages`.

    Raises:
        ConfigurationError: A setting is out of range. At the start of training: the equation has no
            such number or refuses a value, or the schedule does not fit the equation or the run.
        DivergenceError: In training: the loss explodes even after ``retries`` smaller steps.
    """

    def __init__(
        self,
        number: str,
        schedule: dict[int, float | None] | list[float | None],
        **kwargs: Any,
    ) -> None:
        super().__init__(number, schedule, **kwargs)

    def own_value(self, equation: Equation) -> float:
        numbers = _numbers(equation)
        if self.name not in numbers:
            known = f"has {', '.join(sorted(numbers))}" if numbers else "has none"
            raise ConfigurationError(
                f"{type(equation).__name__} has no number {self.name!r} to change: it {known}"
            )
        return float(numbers[self.name])

    def changed(self, equation: Equation, value: float) -> Equation:
        if type(getattr(equation, self.name)) is int and value.is_integer():
            value = int(value)
        if self.name in getattr(equation, "__dataclass_fields__", {}):
            found = rebuilt(equation, **{self.name: value})
            for key in ("bounds", "domain"):  # those of a horizon, not a field
                if key in vars(equation):
                    object.__setattr__(found, key, getattr(equation, key))
            return found
        found = copy.copy(equation)
        object.__setattr__(found, self.name, value)
        return found


def _numbers(equation: Equation) -> dict[str, Any]:
    """The numbers among the attributes of an equation and its classes, by name."""
    found: dict[str, Any] = {}
    for owner in (*reversed(type(equation).__mro__), equation):
        found |= vars(owner)
    return {
        name: value
        for name, value in found.items()
        if type(value) in (int, float) and not name.startswith("_")
    }
