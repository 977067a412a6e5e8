"""Exceptions whose message tells the user what to do."""

import math

__all__ = ["ConfigurationError", "DivergenceError", "check_at_least"]


class ConfigurationError(ValueError):
    """A setting, file or table that kanlit cannot use.

    The message is one line with the cause, the value and the remedy. The command line prints it
    without a traceback and exits with status 2.
    """


class DivergenceError(ArithmeticError):
    """A loss, weight or prediction that is NaN or infinite.

    The message is one line with the cause and what to try. The command line prints it without a
    traceback and exits with status 1.
    """


def check_at_least(name: str, value: float, least: int) -> None:
    """Raises if a number is below ``least`` or not finite.

    Raises:
        ConfigurationError: Names the setting, its value and the least value.
    """
    if not least <= value < math.inf:
        raise ConfigurationError(f"{name} must be at least {least}, got {value}: change it")
