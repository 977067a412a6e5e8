"""Imports and creates the classes that the user has named, and no others."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from kanlit.errors import ConfigurationError
from kanlit.runs.exceptions import users_place, with_name
from kanlit.signatures import constructor_parameters

__all__ = ["created", "import_named"]


@contextmanager
def _working_folder() -> Iterator[None]:
    """Appends the working folder to the end of the import path, so that it hides no module."""
    here = os.getcwd()
    if here in sys.path or "" in sys.path:
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)


def import_named(name: str) -> Any:
    """Imports the object at a path such as ``mymodule.MyClass``.

    Raises:
        ConfigurationError: If it cannot be imported.
    """
    home, _, attribute = name.rpartition(".")
    try:
        with _working_folder():
            return getattr(import_module(home), attribute)
    except Exception as error:  # a user's module can raise anything
        where, why = users_place(error), with_name(error)
        if isinstance(error, AttributeError) and home in sys.modules:
            why = f"{home} has no {attribute}"
            found = getattr(sys.modules[home], "__file__", None) or "part of Python"
            own = Path(f"{home}.py")
            if own.is_file() and str(own.absolute()) != found:
                raise ConfigurationError(
                    f"cannot import {name}: another module has the name {home} ({found}): give "
                    f"the file {own} another name"
                ) from None
        if where is not None:
            raise ConfigurationError(
                f"cannot import {name} ({where[1]}: {why}): correct that file"
            ) from error
        raise ConfigurationError(
            f"cannot import {name} ({why}): check its name, and that it lies in this folder or is "
            f"installed"
        ) from None


def created(refused: list[ConfigurationError], cls: type, *args: Any, **kwargs: Any) -> Any:
    """Creates an object of a class that the settings name.

    Args:
        refused: Gets the error, which a parser may replace by others.
        cls: The class, followed by its arguments.

    Raises:
        ConfigurationError: The class raised an exception; names the settings that it was given.
    """
    try:
        return cls(*args, **kwargs)
    except ImportError:  # a package that is not installed
        raise
    except ConfigurationError as error:
        refused.append(error)
        raise
    except Exception as error:  # of any library, or of the user
        known, where = constructor_parameters(cls), users_place(error)
        given = [
            f"{name}={value!r}"
            for name, value in kwargs.items()
            if isinstance(value, bool | int | float | str)
            and (name not in known or value != known[name].default)
        ]
        place = "" if where is None else f"{where[1]}: "
        refused.append(
            ConfigurationError(
                f"cannot create {cls.__name__}({', '.join(given)}) ({place}{with_name(error)}): "
                f"change these settings"
            )
        )
        raise refused[-1] from error
