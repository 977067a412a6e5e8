"""The README's first two commands; tests/test_docs.py runs all others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def bare_environment() -> dict[str, str]:
    """This process's environment without the virtual environment that the tests run in."""
    hidden = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    own = Path(sys.prefix, "bin").resolve()
    folders = environment["PATH"].split(os.pathsep)
    environment["PATH"] = os.pathsep.join(path for path in folders if Path(path).resolve() != own)
    return environment


@pytest.mark.slow
def test_the_first_command_trains_the_quickstart_in_a_fresh_clone(
    clone: Path, quick_compiler: str
) -> None:
    """Modules that are not imported stay uncompiled, and the kernel as the compiler reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = subprocess.run(
        ["bash", "-c", blocks("bash")[0]],
        cwd=clone,
        env=bare_environment()
        # 0, for pip means by it the option --no-compile.
        | {"CC": quick_compiler, "CXX": quick_compiler, "PIP_NO_COMPILE": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout + run.stderr

    error = re.search(r"^relative L2: (\S+)", run.stdout, re.MULTILINE)
    checkpoint = re.search(r"^checkpoint: (.+\.ckpt)\s*$", run.stdout, re.MULTILINE)
    code = (
        "import torch; from kanlit import kernel; from kanlit.nn import KANLayer;"
        "KANLayer(2, 3)(torch.rand(5, 2)).sum().backward();"
        "print(kernel.__file__, kernel.kernel_available())"
    )
    kernel = subprocess.run(
        [clone / ".venv" / "bin" / "python", "-c", code],
        cwd=clone,
        env=bare_environment() | {"KANLIT_KERNEL": "1"},
        capture_output=True,
        text=True,
    )
    assert kernel.returncode == 0, kernel.stderr
    assert kernel.stdout.split() == [str(clone / "kanlit" / "kernel" / "__init__.py"), "True"]

    events = list((clone / "lightning_logs").rglob("events.out.tfevents.*"))
    assert error is not None, run.stdout
    assert float(error[1]) < 0.05
    assert checkpoint is not None, run.stdout
    assert (clone / checkpoint[1]).is_file()  # an absolute path stands for itself
    assert (clone / checkpoint[1]).resolve().is_relative_to(clone.resolve())
    # Lightning opens a second file for the test at the end; the run is their folder.
    (run_folder,) = {path.parent for path in events}
    tags = EventAccumulator(str(run_folder), size_guidance={"images": 1}).Reload().Tags()
    assert "knots" in tags["images"]
    assert {"knots/layers.0", "knots/layers.1"} <= set(tags["histograms"] + tags["distributions"])
    assert {"train/loss", "val/rel_l2", "test/rel_l2", "grid/size"} <= set(tags["scalars"])
