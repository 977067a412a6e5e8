"""The exceptions whose message is all that a user needs."""

__all__ = ["ConfigurationError", "DivergenceError"]


class ConfigurationError(ValueError):
    """A setting, a file or a table that kanlit cannot work with.

    The message is one line: it names the thing and the value it got, and says what to do.
    The command line prints it without a traceback and exits with a status that is not zero.
    """


class DivergenceError(ArithmeticError):
    """A loss, a weight or a prediction that is NaN or infinite.

    The message is one line: it names the thing and says what to try. The command line prints it
    without a traceback and exits with status 1.
    """
