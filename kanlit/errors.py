"""The one exception for things that a user can put right before training starts."""

__all__ = ["ConfigurationError"]


class ConfigurationError(ValueError):
    """A setting, a file or a table that kanlit cannot work with.

    The message is one line: it names the thing and the value it got, and says what to do.
    The command line prints it without a traceback and exits with a status that is not zero.
    """
