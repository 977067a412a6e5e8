"""Exceptions whose message tells the user what to do."""

__all__ = ["ConfigurationError", "DivergenceError"]


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
