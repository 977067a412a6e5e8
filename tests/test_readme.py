"""The README's first two commands; tests/test_docs.py runs all others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from kanlit.kernel import kernel_available, library

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The contents of the README's fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_gate_is_the_second_command() -> None:
    assert blocks("bash")[1] == "bash .ci/run\n"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The tracked files alone, in a folder of their own: what a fresh clone would hold."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listing.stdout.split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name, follow_symlinks=False)
    return tmp_path


@pytest.fixture
def environment(clone: Path) -> dict[str, str]:
    """Variables of a shell whose ``.venv`` holds what the gate has installed, but not kanlit.

    The gate itself installs everything anew (``.ci/run`` with ``CI=true``, ``.ci/lowest``).
    """
    venv.create(clone / ".venv", symlinks=True)
    packages = [path for path in sys.path if path.endswith("site-packages")]
    (own,) = (clone / ".venv").rglob("site-packages")
    (own / "gate.pth").write_text("\n".join(packages))
    hidden = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    # By 0 pip means the option --no-build-isolation: setuptools is there.
    return kept | {"PIP_NO_BUILD_ISOLATION": "0"}


@pytest.mark.slow
def test_the_first_command_trains_the_quickstart_in_a_fresh_clone(
    clone: Path,
    environment: dict[str, str],
    quick_compiler: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def run(*command: str) -> str:
        ended = subprocess.run(
            command,
            cwd=clone,
            env=environment | {"CC": quick_compiler, "CXX": quick_compiler},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    printed = run("bash", "-c", blocks("bash")[0])
    error = re.search(r"^relative L2: (\S+)", printed, re.MULTILINE)
    checkpoint = re.search(r"^checkpoint: (.+\.ckpt)\s*$", printed, re.MULTILINE)
    home = run(".venv/bin/python", "-c", "import kanlit; print(kanlit.__file__)")
    assert Path(home.strip()) == clone / "kanlit" / "__init__.py"
    monkeypatch.setattr(library, "__file__", str(clone / "kanlit" / "kernel" / "library.py"))
    library.load.cache_clear()
    try:
        assert kernel_available()  # the one of the clone
    finally:
        library.load.cache_clear()

    events = list((clone / "lightning_logs").rglob("events.out.tfevents.*"))
    assert error is not None, printed
    assert float(error[1]) < 0.05
    assert checkpoint is not None, printed
    assert (clone / checkpoint[1]).is_file()  # an absolute path stands for itself
    assert (clone / checkpoint[1]).resolve().is_relative_to(clone.resolve())
    # Lightning opens a second file for the test at the end; the run is their folder.
    (run_folder,) = {path.parent for path in events}
    tags = EventAccumulator(str(run_folder), size_guidance={"images": 1}).Reload().Tags()
    assert "knots" in tags["images"]
    assert {"knots/layers.0", "knots/layers.1"} <= set(tags["histograms"] + tags["distributions"])
    assert {"train/loss", "val/rel_l2", "test/rel_l2", "grid/size"} <= set(tags["scalars"])
