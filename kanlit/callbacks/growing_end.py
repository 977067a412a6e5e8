"""Base class of the stages in which the end of a coordinate grows."""

from __future__ import annotations

from itertools import pairwise

from kanlit.callbacks.stages import Stages
from kanlit.errors import ConfigurationError
from kanlit.problems import BoundaryValueProblem, Equation
from kanlit.problems.equation_domain import domain_of
from kanlit.problems.window import with_bounds

__all__ = ["GrowingEnd"]


class GrowingEnd(Stages):
    """Stages with rising ends of the coordinate ``name``, up to that of the equation's domain."""

    def own_value(self, equation: Equation) -> float:
        return float(domain_of(equation).bounds[self.axis(equation)][1])

    def changed(self, equation: Equation, value: float) -> Equation:
        axis = self.axis(equation)
        return with_bounds(equation, axis, domain_of(equation).bounds[axis][0], value)

    def check(self, equation: Equation, values: list[float]) -> None:
        axis, name = self.axis(equation), type(equation).__name__
        low, high = domain_of(equation).bounds[axis]
        for end in values:
            if not low < end <= high:
                raise ConfigurationError(
                    f"{self._owner} has the end {self.name} = {end:g}, but {name} has "
                    f"{self.name} from {low:g} to {high:g}: give ends within it"
                )
        for before, after in pairwise(values):
            if not before < after:
                raise ConfigurationError(
                    f"{self._owner} has the end {self.name} = {before:g} and then {after:g}: its "
                    f"ends must rise"
                )
        for condition, faces in BoundaryValueProblem(equation).faces.items():
            if (axis, 1) in faces:
                raise ConfigurationError(
                    f"condition {condition} of {name} holds at the end of {self.name}, which "
                    f"therefore cannot grow: remove {self._owner}"
                )

    def axis(self, equation: Equation) -> int:
        """Number of the coordinate.

        Raises:
            ConfigurationError: The equation does not have it.
        """
        if self.name not in equation.coordinates:
            raise ConfigurationError(
                f"{self._owner} needs a coordinate {self.name}, but {type(equation).__name__} has "
                f"{', '.join(equation.coordinates)}: choose another, or remove {self._owner}"
            )
        return equation.coordinates.index(self.name)
