"""The table of bad inputs and what each gets, for docs/results/bad_inputs.md.

    python benchmarks/bad_inputs.py

The command lines, and the files they name, are those of tests/test_cli_errors.py.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shlex
import sys
import tempfile
from pathlib import Path

from kanlit.cli import main as kanlit

TESTS = Path(__file__).resolve().parents[1] / "tests" / "test_cli_errors.py"


def error_of(command: str) -> str:
    """The line that a command line ends with."""
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


def main() -> None:
    spec = importlib.util.spec_from_file_location("test_cli_errors", TESTS)
    assert spec is not None
    assert spec.loader is not None
    tests = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = tests  # its pickle is looked up by this name
    spec.loader.exec_module(tests)
    print("| `kanlit …` | error |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        tests.write_files(Path(folder))
        os.chdir(folder)
        for command, _ in tests.BAD:
            line = error_of(command).replace("|", "\\|").replace(folder, "")
            print(f"| `{command}` | {line} |", flush=True)
        os.chdir("/")


if __name__ == "__main__":
    main()
