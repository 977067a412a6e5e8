"""An equation as plain values, for checkpoints, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kanlit.problems.equations
from kanlit.errors import ConfigurationError
from kanlit.problems.equations import Equation
from kanlit.signatures import constructor_parameters

__all__ = ["equation_of", "rebuilt", "record_of"]

_PLAIN = (bool, int, float, str)


def record_of(equation: Equation) -> dict[str, Any]:
    """Class path and, for kanlit's own equations, the arguments: numbers and strings.

    An argument is read from the attribute of its name, or of that after an underscore.
    """
    cls = type(equation)
    record: dict[str, Any] = {"class_path": _path_of(cls)}
    if cls in _own().values():
        arguments = _arguments(equation)
        record["init_args"] = {k: v for k, v in arguments.items() if type(v) in _PLAIN}
    return record


def rebuilt(equation: Equation, **changes: Any) -> Equation:
    """An equation with other arguments, checked by its constructor."""
    return type(equation)(**{**_arguments(equation), **changes})


def _arguments(equation: Equation) -> dict[str, Any]:
    """The arguments of the constructor that are attributes, also after an underscore."""
    attributes = vars(equation)
    return {
        name: attributes[key]
        for name in constructor_parameters(type(equation))
        for key in (name, f"_{name}")
        if key in attributes
    }


def equation_of(record: Mapping[str, Any]) -> Equation | None:
    """The equation of a record, if it is one of kanlit's own; nothing is imported.

    Raises:
        ConfigurationError: The arguments are not those of its class.
    """
    name = record["class_path"]
    cls = _own().get(name)
    if cls is None:
        return None
    arguments = record.get("init_args", {})
    known = constructor_parameters(cls)
    for key, value in arguments.items():
        if key not in known or type(value) not in _PLAIN:
            raise ConfigurationError(f"{name} takes no {key} {value!r}"[:200])
    return cls(**arguments)


def _own() -> dict[str, type[Equation]]:
    """kanlit's equations by class path."""
    home = kanlit.problems.equations
    classes = (getattr(home, name) for name in home.__all__ if name != Equation.__name__)
    return {_path_of(cls): cls for cls in classes}


def _path_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
