"""The help, version and list of commands of ``kanlit``. Imports nothing slow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

import kanlit
from kanlit.cli.commands import APART, COMMANDS, DESCRIPTION
from kanlit.hints import hint

__all__ = ["answer"]

_ALL_COMMANDS = {**COMMANDS, **APART}


def answer(words: Sequence[str]) -> None:
    """Answers a command line without a known command and ends the process; else returns.

    Args:
        words: Arguments of the command line.

    Raises:
        SystemExit: With status 0 after ``--help`` and ``--version``, with 2 for unknown commands.
    """
    if not words:
        known = ", ".join(_ALL_COMMANDS)
        _refuse(f"no command: choose from {known}; kanlit --help explains them")
    if not words[0].startswith("-") and words[0] not in _ALL_COMMANDS:
        _refuse(f"unknown command {words[0]!r}: {hint(words[0], _ALL_COMMANDS)}")
    asked = [word for word in words if word in ("-h", "--help", "--version")]
    if asked and not set(words) & set(_ALL_COMMANDS):
        _parser().parse_args(asked)  # prints and exits


def _refuse(message: str) -> NoReturn:
    print(f"kanlit: error: {message}", file=sys.stderr)
    sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kanlit",
        usage="kanlit COMMAND [options]",
        description=DESCRIPTION,
        epilog="kanlit COMMAND --help explains the options of a command.",
        add_help=False,
    )
    add = parser.add_argument
    add("-h", "--help", action="help", help="Shows this help.")
    version = f"kanlit {kanlit.__version__}"
    add("--version", action="version", version=version, help="Shows the version.")
    add(
        "-c",
        "--config",
        help="Before the command: a YAML file with a key for each command. After the command, as "
        "in kanlit fit --config FILE: a YAML file with the settings of this command.",
    )
    add(
        "--print_config",
        action="store_true",
        help="Prints all settings, including defaults, without running the command.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, explanation in _ALL_COMMANDS.items():
        commands.add_parser(name, help=explanation)
    return parser
