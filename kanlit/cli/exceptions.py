"""What an exception says, on one line and without what says nothing to a user."""

from __future__ import annotations

import re

__all__ = ["one_line", "root_cause"]

# What jsonargparse adds around the reason: types a user does not know, values they just typed.
_NOISE = re.compile(
    r"^(- )?(Does not validate against any of the Union subtypes|Subtypes: .*|Errors:|"
    r"Expected a <class 'NoneType'>.*|Given value type: .*|Given value: .*|"
    r"Expected a path but .* either not accessible or invalid)$"
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


def one_line(message: str) -> str:
    """A message on one line, without what says nothing to a user."""
    lines = [line.strip() for line in message.splitlines()]
    kept = [line.removeprefix("- ") for line in lines if line and not _NOISE.match(line)]
    return " ".join(kept)
