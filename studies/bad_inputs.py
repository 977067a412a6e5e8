"""Writes the tables of docs/results/bad_inputs.md: invalid inputs and their error messages.

    python studies/bad_inputs.py [SECTION …]

The command lines and their files are those of tests/test_cli_errors.py and
tests/test_cli_bad_data.py. Sections are `Settings`, `Tables` and `Formulas`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import shlex
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from kanlit.cli import main as kanlit

TESTS = Path(__file__).resolve().parents[1] / "tests"
SECTIONS = {
    "Settings": ("test_cli_errors", "BAD"),
    "Tables": ("test_cli_bad_data", "BAD_TABLES"),
    "Formulas": ("test_cli_bad_data", "BAD_FORMULAS"),
}


def error_of(command: str) -> str:
    """The error message of a command line."""
    sys.argv = ["kanlit", *shlex.split(command)]
    said = io.StringIO()
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(said),
        contextlib.suppress(SystemExit),
    ):
        kanlit()
    (line,) = [x for x in said.getvalue().splitlines() if x.startswith("kanlit: error: ")]
    return line.removeprefix("kanlit: error: ")


def module_of(name: str) -> ModuleType:
    """Imports a module of the tests."""
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    tests = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = tests  # pickle looks its classes up by this name
    spec.loader.exec_module(tests)
    return tests


def show(section: str) -> None:
    """Prints a section: each command line with its error message."""
    name, commands = SECTIONS[section]
    tests = module_of(name)
    print(f"## {section}\n\n| `kanlit …` | error |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        tests.write_files(Path(folder))
        os.chdir(folder)
        for command, _ in getattr(tests, commands):
            line = error_of(command).replace("|", "\\|").replace(folder, "")
            shown = command if len(command) <= 300 else f"{command[:200]}…{command[-60:]}"
            print(f"| `{shown}` | {line} |", flush=True)
        os.chdir("/")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", default=list(SECTIONS))
    for section in parser.parse_args().sections:
        show(section)


if __name__ == "__main__":
    main()
