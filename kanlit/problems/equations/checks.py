"""Checks that the parameters of equations share."""

from __future__ import annotations

from math import isfinite

from kanlit.errors import ConfigurationError

__all__ = ["check_between"]


def check_between(name: str, value: float, least: float, most: float, example: float) -> None:
    """Refuse a number outside ``[least, most]``, NaN among them.

    Raises:
        ConfigurationError: Names the parameter, its value, its range and one that will do.
    """
    if not isfinite(value) or not least <= value <= most:
        raise ConfigurationError(
            f"{name} must lie between {least:g} and {most:g}, got {value}: choose one in that "
            f"range, such as {example:g}"
        )
