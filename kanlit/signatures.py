"""The named arguments of a constructor, with those that it passes on, and their types."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal, Union, get_args, get_origin

__all__ = ["constructor_parameters", "simple_parameters"]

# Types of arguments that are read from a checkpoint; an optimizer never is.
_SIMPLE = (bool, int, float, str, type(None))


def constructor_parameters(cls: type, eval_str: bool = False) -> dict[str, inspect.Parameter]:
    """The named arguments of a class, and those that its bases take through ``**kwargs``.

    Args:
        cls: The class.
        eval_str: Whether to evaluate annotations that are strings.
    """
    found: dict[str, inspect.Parameter] = {}
    for link in cls.__mro__:
        if "__init__" not in vars(link) or link is object:
            continue
        signature = inspect.signature(vars(link)["__init__"], eval_str=eval_str)
        parameters = list(signature.parameters.values())[1:]
        named = {p.name: p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        found = named | found
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    return found


def simple_parameters(cls: type) -> dict[str, set[type]]:
    """The arguments of a constructor that take numbers and texts only, and which of these."""
    found: dict[str, set[type]] = {}
    for name, parameter in constructor_parameters(cls, eval_str=True).items():
        kinds = _kinds(parameter.annotation)
        if name == "basis":
            kinds -= {type}  # of a class only the name, which imports nothing
        if kinds <= set(_SIMPLE):
            found[name] = kinds
    return found


def _kinds(annotation: Any) -> set[type]:
    """The types of the values that an annotation names."""
    if get_origin(annotation) is type:
        return {type}
    if get_origin(annotation) is Literal:
        return {type(value) for value in get_args(annotation)}
    inner = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    if not inner:
        return {annotation}
    origin = get_origin(annotation)
    listed = inspect.isclass(origin) and issubclass(origin, Sequence)
    if listed or origin is Union or origin is type(int | str):
        return set().union(*(_kinds(argument) for argument in inner))
    return {object}
