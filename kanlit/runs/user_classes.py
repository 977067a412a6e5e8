"""Imports custom classes that the user has named, and no others."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from kanlit.errors import ConfigurationError
from kanlit.runs.exceptions import one_line
from kanlit.runs.settings import Setting

__all__ = ["import_named", "import_settings", "working_folder"]

# Keys at which a text names a class; elsewhere it takes the key class_path.
_PLACES = (
    "data",
    "data.equation",
    "data.redraw",
    "model",
    "model.basis",
    "model.optimizer",
    "model.lr_scheduler",
    "adaptation.density",
    "adaptation.density.densities",
    "adaptation.trigger",
    "adaptation.trigger.triggers",
    "trainer.callbacks",
    "trainer.logger",
    "trainer.profiler",
    "trainer.plugins",
    "trainer.strategy",
)
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


@contextmanager
def working_folder() -> Iterator[None]:
    """Appends the working folder to the import path, last, so that it hides no other module."""
    here = os.getcwd()
    if here in sys.path or "" in sys.path:
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)


def import_settings(settings: Sequence[Setting]) -> None:
    """Imports the modules of the classes that the user has named, for a parser to find them.

    What cannot be imported is left to the parser, which says so.
    """
    for setting in settings:
        names = set(_class_paths(setting.value))
        if setting.key in _PLACES:
            names |= {each for each in _texts(setting.value) if _PATH.fullmatch(each)}
        for name in names:
            with working_folder():
                try:
                    import_module(name.rpartition(".")[0])
                except Exception:
                    continue


def import_named(name: str) -> Any:
    """What a path such as ``mymodule.MyClass`` names.

    Raises:
        ConfigurationError: It cannot be imported.
    """
    home, _, attribute = name.rpartition(".")
    try:
        with working_folder():
            return getattr(import_module(home), attribute)
    except Exception as error:  # a user's module may fail in any way; all of it is theirs to mend
        raise ConfigurationError(
            f"cannot import {name} ({type(error).__name__}: {one_line(str(error))}): check its "
            f"name, and that it lies in this folder or is installed"
        ) from None


def _class_paths(value: Any) -> Iterator[str]:
    """Values of ``class_path`` at any depth."""
    if isinstance(value, Mapping):
        path = value.get("class_path")
        if isinstance(path, str):
            yield path
        for inner in value.values():
            yield from _class_paths(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _class_paths(inner)


def _texts(value: Any) -> list[str]:
    return [each for each in (value if isinstance(value, list) else [value]) if type(each) is str]
