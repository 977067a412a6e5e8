"""Base class of equations whose conditions hold exactly, by an ansatz, or are trained."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from kanlit.errors import ConfigurationError
from kanlit.problems.equations.base import Equation

__all__ = ["ExactOrSoft", "Manner"]

Manner = Literal["exact", "soft"]


@dataclass(frozen=True, init=False)
class ExactOrSoft(Equation):
    """An equation that takes an argument ``conditions``.

    Args:
        conditions: exact (by the ansatz) or soft (by their residuals in the loss).
        **arguments: The attributes of a subclass, by name.

    Raises:
        ConfigurationError: ``conditions`` is neither.
    """

    _conditions: Manner = field(default="soft", init=False)

    def __init__(self, conditions: Manner, **arguments: Any) -> None:
        if conditions not in ("exact", "soft"):
            raise ConfigurationError(f"conditions must be exact or soft, got {conditions!r}")
        for name, value in {"_conditions": conditions, **arguments}.items():
            object.__setattr__(self, name, value)

    @property
    def is_exact(self) -> bool:
        """Whether the conditions hold exactly, by the ansatz."""
        return self._conditions == "exact"

    @property
    def ansatz(self) -> Callable[..., Any] | None:
        """:meth:`exact_form` if the conditions are exact, else None."""
        return self.exact_form if self.is_exact else None

    @abstractmethod
    def exact_form(self, *args: Any, **kwargs: Any) -> Any:
        """The unknown for the network's output and the coordinates, by name."""
