"""The version of a run, which names its folder."""

from __future__ import annotations

from kanlit.errors import ConfigurationError

__all__ = ["chosen_version"]


def chosen_version(name: str | None, version: str | int | None) -> str | int | None:
    """The version that the user has chosen for the folder; None for the next ``version_N``.

    Args:
        name: Name of the run.
        version: Version of the first local logger.

    Raises:
        ConfigurationError: Both are given, or the name is not that of a folder.
    """
    if name is None:
        return version
    if version is not None:
        raise ConfigurationError(
            f"name {name} and logger.version {version} both name the folder of the run: leave one "
            f"out"
        )
    if not name.strip() or name.startswith(".") or any(mark in name for mark in "/\\:\0"):
        raise ConfigurationError(
            f"name {name!r} is not the name of a folder: give one such as first_try"
        )
    return name
