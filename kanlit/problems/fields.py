"""Unknowns with a network of their own, which may depend on fewer coordinates than others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.hints import hint
from kanlit.problems.equations.base import Equation
from kanlit.problems.form import SolutionForm

__all__ = ["fields_of"]


def fields_of(equation: Equation, form: SolutionForm) -> dict[str, Tensor]:
    """The network's inputs of each unknown that has a network of its own, bool ``(in,)``.

    Args:
        equation: The equation, with valid names and bounds.
        form: What it puts around its network.

    Raises:
        ConfigurationError: If fields are not tuples of coordinates by unknown, or the network has
            no input that depends on the coordinates of one alone.
    """
    owner = type(equation).__name__
    given: Any = equation.fields  # as written by the user
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"fields of {owner} must be a dict of coordinates by unknown, got {given!r}: write "
            f'fields = {{"{equation.unknowns[-1]}": ("{equation.variables[0]}",)}}'
        )
    found = {}
    for name, names in given.items():
        if name not in equation.unknowns:
            raise _unknown(f"fields of {owner}", "unknown", name, equation.unknowns)
        if not isinstance(names, tuple | list) or not names:
            raise ConfigurationError(
                f"fields of {owner}: the coordinates of {name} must be a tuple of names, got "
                f'{names!r}: write ("{equation.variables[0]}",); for a number, use Unknown'
            )
        for each in names:
            if each not in equation.variables:
                raise _unknown(f"fields of {owner}", "coordinate", each, equation.variables)
        axes = [equation.variables.index(each) for each in names]
        found[name] = form.inputs_of(axes)
        if not bool(found[name].any()):
            raise ConfigurationError(
                f"fields of {owner}: no input of the network depends on {', '.join(names)} alone, "
                f"so {name} would be a constant: add one to inputs"
            )
    return {name: found[name] for name in equation.unknowns if name in found}


def _unknown(label: str, kind: str, name: Any, known: tuple[str, ...]) -> ConfigurationError:
    return ConfigurationError(f"{label}: no {kind} {name!r}: {hint(str(name), known)}")
