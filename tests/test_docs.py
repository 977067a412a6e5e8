"""The pages of docs/ are run as they stand there, and the reference is what the docstrings say."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from kanlit.cli import main

# Short runs are warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

DOCS = Path(__file__).resolve().parents[1] / "docs"
NAME = re.compile(r"`([\w.]+\.(?:py|yaml))`")


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Each fenced block: its language, what is in it, and the file that the text before names."""
    found = []
    name, language, content = "", "", ""
    for line in (DOCS / page).read_text().splitlines(keepends=True):
        if line.startswith("```"):
            if language:
                found.append((language, content, name))
            language, content = ("" if language else line[3:].strip()), ""
        elif language:
            content += line
        elif names := NAME.findall(line):
            name = names[-1]
    return found


@pytest.mark.parametrize("page", ["tutorial.md", "density.md", "callback.md"])
def test_a_page_runs_from_top_to_bottom(
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    commands = []
    for language, content, name in blocks(page):
        if language == "bash":
            commands += content.replace("\\\n", " ").splitlines()
        else:
            (tmp_path / name).write_text(content)
    assert commands
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "python":
            done = subprocess.run(
                [sys.executable, *arguments], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            continue
        assert program == "kanlit"
        monkeypatch.setattr(sys, "argv", ["kanlit", *arguments])
        status: object = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        assert not status, capsys.readouterr().err


def test_the_reference_is_what_the_docstrings_say() -> None:
    spec = spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)

    page = module.page()

    assert (DOCS / "reference.md").read_text() == page, "run python docs/make_reference.py"
    rows = re.findall(r"^\| `(\w+)` \| .* \| .* \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) > 80
    assert not [name for name, meaning in rows if not meaning]
