"""Finds the cause of an exception and shortens its message to one line."""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

from lightning.pytorch.loggers import Logger

from kanlit.files import shown

__all__ = ["one_line", "refusal", "root_cause", "users_place", "with_name"]

# Text that jsonargparse adds to the reason: internal types, and values that the user gave.
_NOISE = re.compile(
    r"^(- )?(Does not validate against any of the Union subtypes|Subtypes: .*|Errors:|"
    r"Expected a <class 'NoneType'>.*|Given value type: .*|Given value: .*|"
    r"Expected a path but .* either not accessible or invalid)$"
)

# Folders of code that is not the user's.
_LIBRARIES = (Path(__file__).parents[1], sysconfig.get_path("stdlib"))
_INSTALLED = {"site-packages", "dist-packages"}

# Modules of the classes that settings of trainer, optimizer and scheduler can name.
_NAMED = (
    "torch.optim",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers",
    "lightning.pytorch.tuner",
)


def root_cause(
    error: BaseException, kinds: tuple[type[BaseException], ...]
) -> BaseException | None:
    """The innermost exception of these kinds in a chain of causes, or ``None``."""
    return next((link for link in reversed([*_chain(error)]) if isinstance(link, kinds)), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, its cause, the cause of that, and so on."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def refusal(error: BaseException) -> str | None:
    """The error message of a torch or Lightning class that the settings name, or of its library.

    Returns:
        One line with the name of the class; ``None`` for an error that was raised elsewhere.
    """
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    home = str(frames[-1].f_globals.get("__name__")) if frames else ""
    owners = [type(frame.f_locals["self"]) for frame in frames if "self" in frame.f_locals]
    named = [cls for cls in owners if cls.__module__.startswith(_NAMED)]
    ours = home.startswith(_NAMED) or any(issubclass(cls, Logger) for cls in named)
    if not ours or not isinstance(error, Exception) or not str(error):
        return None
    return f"{named[-1].__name__ if named else home}: {one_line(str(error))}"


def users_place(error: BaseException) -> tuple[BaseException, str] | None:
    """The exception in a chain that went through the user's own code, and ``FILE, line N`` of it.

    That is code outside Python's library, installed packages and kanlit. ``None`` if there is none.
    """
    for link in _chain(error):
        for frame, line in reversed([*traceback.walk_tb(link.__traceback__)]):
            if _is_users(frame.f_code.co_filename):
                return link, f"{shown(Path(frame.f_code.co_filename))}, line {line}"
    return None


def _is_users(file: str) -> bool:
    path = Path(file)
    library = any(path.is_relative_to(folder) for folder in _LIBRARIES)
    return path.is_absolute() and not library and not _INSTALLED & set(path.parts)


def with_name(error: BaseException) -> str:
    """``NAME: message`` of an exception, in one line."""
    return f"{type(error).__name__}: {one_line(str(error))}".removesuffix(": ")


def one_line(message: str) -> str:
    """Joins a message to one line and drops the parser's noise."""
    lines = [line.strip() for line in message.splitlines()]
    kept = [line.removeprefix("- ") for line in lines if line and not _NOISE.match(line)]
    return " ".join(kept)
