"""The command line: ``kanlit fit|validate|test|predict``."""

from kanlit.cli.app import KanlitCLI, main

__all__ = ["KanlitCLI", "main"]
