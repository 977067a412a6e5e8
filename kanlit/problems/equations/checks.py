"""Checks of equation parameters."""

from __future__ import annotations

from math import isfinite

from kanlit.errors import ConfigurationError

__all__ = ["check_between"]


def check_between(name: str, value: float, least: float, most: float, example: float) -> None:
    """Raises for a number outside ``[least, most]``, including NaN.

    Raises:
        ConfigurationError: With the parameter, its value, its range and an example.
    """
    if not isfinite(value) or not least <= value <= most:
        raise ConfigurationError(
            f"{name} must lie between {least:g} and {most:g}, got {value}: choose one in that "
            f"range, such as {example:g}"
        )
