"""The named arguments of a constructor, with those that it passes on."""

from __future__ import annotations

import inspect

__all__ = ["constructor_parameters"]


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
