"""Finds the cause of an exception and shortens its message to one line."""

from __future__ import annotations

import re
import traceback

__all__ = ["one_line", "refusal", "root_cause"]

# Text that jsonargparse adds to the reason: internal types, and values that the user gave.
_NOISE = re.compile(
    r"^(- )?(Does not validate against any of the Union subtypes|Subtypes: .*|Errors:|"
    r"Expected a <class 'NoneType'>.*|Given value type: .*|Given value: .*|"
    r"Expected a path but .* either not accessible or invalid)$"
)

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
    found = None
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if isinstance(link, kinds):
            found = link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return found


def refusal(error: BaseException) -> str | None:
    """The error message of a torch or Lightning class that the settings name.

    Returns:
        One line with the name of the class; ``None`` for an error that was raised elsewhere.
    """
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    home = str(frames[-1].f_globals.get("__name__")) if frames else ""
    if not home.startswith(_NAMED) or not isinstance(error, Exception) or not str(error):
        return None
    owners = [type(frame.f_locals["self"]) for frame in frames if "self" in frame.f_locals]
    named = [cls.__name__ for cls in owners if cls.__module__.startswith(_NAMED)]
    return f"{named[-1] if named else home}: {one_line(str(error))}"


def one_line(message: str) -> str:
    """Joins a message to one line and drops the parser's noise."""
    lines = [line.strip() for line in message.splitlines()]
    kept = [line.removeprefix("- ") for line in lines if line and not _NOISE.match(line)]
    return " ".join(kept)
