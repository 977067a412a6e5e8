"""The pages are run as they stand; Sybil finds their blocks.

YAML and Python whose file the paragraph before names are written to that file first; then other
Python is executed and bash is run command by command, from the top to the bottom. What a command
would train for long ends after a few epochs, by an option that the test appends (``SHORTER``). The
studies behind docs/results, hours of them, are parsed.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from sybil import Document, Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from kanlit.benchmark import Outcome, Run
from kanlit.benchmark.engine import Train
from kanlit.benchmark.matrix import build_matrix
from kanlit.benchmark.tasks import choose_tasks
from kanlit.callbacks import equation_figures
from kanlit.checkpoints import find_checkpoint, read_checkpoint
from kanlit.cli import benchmark, benchmark_report

# Short runs are warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

ROOT = Path(__file__).resolve().parents[1]
GUIDES = ["tutorial", "guide", "benchmarks", "density", "callback", "equations", "formula"]
GUIDES += ["domains", "inverse", "scikit_learn", "tuning", "choosing", "tensorboard"]
GUIDES += ["loggers", "troubleshooting", "notebook", "functions", "gallery", "run_folder"]
GUIDES += ["noisy_data"]
PAGES = ["README.md", *(f"docs/{name}.md" for name in GUIDES)]
NAME = re.compile(r"`([\w.]+\.(?:py|yaml))`")
ONE_RUN = "--tasks f4 --seeds 42 --jobs 1"
TWO_EPOCHS = "--trainer.max_epochs 2 --adaptation.schedule '[3, 6]'"
# What is appended to a page's commands, by how they begin; the first that fits.
FIRST_EPOCHS = {
    "kanlit fit --config configs/pruning.yaml": f"{TWO_EPOCHS} --trainer.callbacks "
    "'[{class_path: PruningCallback, init_args: {epochs: [1]}}]'",
    "kanlit fit --config t.yaml": TWO_EPOCHS,
    "kanlit fit --config configs/helmholtz.yaml": TWO_EPOCHS,
    "kanlit fit --config configs/quickstart.yaml --ckpt_path": "--trainer.max_epochs 4",
    "kanlit fit": "--trainer.max_epochs 2",
    "kanlit benchmark --suite equations": "--tasks heat --seeds 3 --jobs 1 --recipe short.yaml",
    "kanlit benchmark --config": "--jobs 1 --seeds 1",
    "kanlit benchmark --": f"{ONE_RUN} --recipe short.yaml",
}
SHORTER = {
    # ONNX takes twice as long as torch's own format; other pages use it.
    "README.md": {**FIRST_EPOCHS, "kanlit export": "--output model.pt2"},
    "docs/guide.md": FIRST_EPOCHS,
    "docs/noisy_data.md": FIRST_EPOCHS,
    "docs/choosing.md": FIRST_EPOCHS,
    "docs/tensorboard.md": FIRST_EPOCHS,
    "docs/run_folder.md": FIRST_EPOCHS,
    "docs/notebook.md": FIRST_EPOCHS,
    "docs/loggers.md": {"kanlit fit": "--trainer.max_epochs 20"},
    "docs/benchmarks.md": FIRST_EPOCHS,
    "docs/functions.md": {"kanlit fit": TWO_EPOCHS},
    "docs/gallery.md": {
        "kanlit fit --data TableData": "--trainer.max_epochs 2 --model.hidden '[2]' "
        "--model.grid_size 3",
        **FIRST_EPOCHS,
    },
    "docs/density.md": {
        "kanlit fit": "--trainer.max_epochs 12",
        "kanlit benchmark --tasks": "--recipe short.yaml",
    },
    "docs/equations.md": {
        "kanlit fit --config configs/equations": "--trainer.max_epochs 2",
        "kanlit fit --data EquationData": "--trainer.max_epochs 2",
    },
    "docs/tuning.md": {"kanlit tune": "--trials 1", "kanlit fit": "--trainer.max_epochs 2"},
    "docs/formula.md": {  # enough epochs for both formulas
        "kanlit fit --data TableData": "--trainer.max_epochs 60",
        "kanlit fit --config configs/pruning.yaml": "--trainer.max_epochs 800 "
        "--adaptation.schedule '{0: 5, 500: 10}' --trainer.callbacks "
        "'[{class_path: PruningCallback, init_args: {epochs: [400]}}]'",
    },
}
TWO = {"trainer": {"max_epochs": 2}}
SHORT = {"synthetic": TWO, "equations": TWO}  # short.yaml, a recipe
ELSEWHERE = ("test -d .venv", ".venv/bin/", "bash .ci/run")  # tests/test_readme.py

CommandLine = Callable[[str], tuple[int, str, str]]


def commands(block: str) -> list[str]:
    """Those of a bash block: one goes on after a backslash, and to the end of its quotes."""
    found, begun = [], ""
    for line in block.replace("\\\n", " ").splitlines():
        begun += line
        try:
            shlex.split(begun)
        except ValueError:  # no closing quotation
            begun += "\n"
            continue
        found.append(begun)
        begun = ""
    assert not begun
    return found


def document(page: str, **evaluators: Callable[[Example], None]) -> Document:
    """A page, with what becomes of the blocks of each language."""
    parsers = [CodeBlockParser(language, evaluate) for language, evaluate in evaluators.items()]
    return Sybil(parsers, path=str(ROOT)).parse(ROOT / page)


def bash(page: str) -> list[str]:
    """The commands of a page."""
    blocks = document(page, bash=lambda _: None).examples()
    return [line for block in blocks for line in commands(block.parsed)]


def file_of(example: Example) -> str:
    """The file that the paragraph before a block names; none for an invisible block."""
    text = example.document.text
    before = text[: example.region.start].rstrip().rpartition("\n\n")[2]
    names = NAME.findall(before)
    return names[-1] if names and not text.startswith("<!--", example.region.start) else ""


def write(example: Example) -> None:
    """Makes the file that a block stands for."""
    if name := file_of(example):
        Path(name).write_text(example.parsed)


# -- pages that are run ---------------------------------------------------------------------------


class Steps:
    """The blocks of a page, run in the present folder.

    What the commands of a block print is ``output`` in the Python blocks that follow.
    """

    def __init__(self, page: str, command_line: CommandLine, start: Callable[..., Any]) -> None:
        self.command_line = command_line
        self.start = start
        self.shorter = SHORTER.get(page, {})
        self.run_python = PythonEvaluator()

    def python(self, example: Example) -> None:
        if not file_of(example):
            self.run_python(example)

    def bash(self, example: Example) -> None:
        example.namespace["output"] = ""
        for line in commands(example.parsed):
            if not line.startswith(ELSEWHERE):
                more = next((self.shorter[s] for s in self.shorter if line.startswith(s)), "")
                example.namespace["output"] += self.run_command(f"{line} {more}")

    def run_command(self, line: str) -> str:
        """Runs one as it stands; what it prints."""
        program, *words = shlex.split(line)
        if program == "kanlit":
            status, out, err = self.command_line(shlex.join(words))
            assert not status, f"{line}: {err}"
            return out
        if program == "tensorboard":
            shows_the_runs(words)
            return ""
        assert program == "python", line
        if words[0].endswith(".py"):  # where torch is imported already
            done = self.start(str(Path(words[0]).resolve()), *words[1:], folder=Path.cwd()).ended()
        else:
            command = [sys.executable, *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def in_process(runs: Sequence[Run], train: Train) -> Generator[Outcome, None, None]:
    """Trains here, not in a process that would import torch again."""
    yield from map(train, runs)


def shows_the_runs(words: list[str]) -> None:
    """TensorBoard, at a port that is free, until it has a run to show."""
    command = [sys.executable, "-m", "tensorboard.main", *words, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = (re.search(r"http://\S+:\d+", line) for line in process.stderr)
            url = next(found[0] for found in said if found)
            deadline = time.monotonic() + 120
            while b"version_0" not in urlopen(f"{url}/data/runs", timeout=60).read():
                assert time.monotonic() < deadline
                time.sleep(0.2)
        finally:
            process.kill()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_from_top_to_bottom(
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command_line: CommandLine,
    start: Callable[..., Any],
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "my_equations", raising=False)  # another page's
    monkeypatch.setattr(benchmark, "local_engine", lambda jobs, threads: in_process)
    monkeypatch.setattr(equation_figures, "_FRAMES", 11)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(SHORT))
    steps = Steps(page, command_line, start)
    files = document(page, python=write, yaml=write)
    read = document(page, bash=steps.bash, python=steps.python)

    for example in [*files.examples(), *read.examples()]:
        example.evaluate()

    assert "output" in read.namespace


# -- several processes --------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ended(*started: Any) -> str:
    """What they print, all having ended well."""
    done = [each.ended() for each in started]
    said = "\n".join(each.stdout + each.stderr for each in done)
    assert not any(each.returncode for each in done), said
    return said


def epochs(folder: Path) -> int:
    """How many the newest checkpoint under a folder has seen."""
    path = find_checkpoint("last", folder)
    return int(read_checkpoint(path)["epoch"])


def test_the_commands_for_several_processes_run_on_this_machine(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    """The page's commands on the CPU, with a few epochs, in a folder of the test's.

    ``kanlit fit`` is as it stands. torchrun is started for both nodes, as the page says; HOST0 is
    this machine, the port one that is free, and a node has one process for four. ``sbatch`` is
    bash, and what it gives to ``srun`` is started as two tasks with the variables of SLURM.
    """
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    fit, torchrun = bash("docs/cluster.md")
    (script,) = re.findall(r"`sbatch (\S+)`", (ROOT / "docs/cluster.md").read_text())

    def begin(program: str, line: str, **variables: str) -> Any:
        return start(program, *shlex.split(line)[1:], folder=tmp_path, **variables)

    said = ended(begin("kanlit", f"{fit} --trainer.max_epochs 4"))
    assert said.count("relative L2:") == 1
    assert epochs(tmp_path) == 4

    shared = tmp_path / "shared"
    small = f"--trainer.accelerator cpu --trainer.default_root_dir {shared}"
    here = {
        "--nproc_per_node 4": "--nproc_per_node 1",
        "HOST0": "127.0.0.1",
        "29500": str(free_port()),
    }
    for old, new in here.items():
        assert torchrun.count(old) == 1
        torchrun = torchrun.replace(old, new)
    torchrun += f" {small} --trainer.devices 1 --trainer.max_epochs 4"
    second = torchrun.replace("--node_rank 0", "--node_rank 1")
    assert second != torchrun
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    nodes = (torchrun, second)
    said = ended(*(begin("torch.distributed.run", node, PYTHONPATH=path) for node in nodes))
    assert said.count("relative L2:") == 1
    assert epochs(shared) == 4

    config = yaml.safe_load((ROOT / "configs/cluster/multi_node.yaml").read_text())["trainer"]
    batch = dict(
        re.findall(r"^#SBATCH --([\w-]+)=(\S+)", (ROOT / script).read_text(), re.MULTILINE)
    )
    assert int(batch["nodes"]) == config["num_nodes"]
    assert int(batch["ntasks-per-node"]) == int(batch["gpus-per-node"]) == config["devices"]
    (tmp_path / "srun").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    line = subprocess.check_output(
        ["bash", script], cwd=tmp_path, env={**os.environ, "PATH": path}, text=True
    )
    assert line.startswith("kanlit ")
    more = f"{small} --trainer.devices 2 --trainer.num_nodes 1 --trainer.max_epochs 6"
    slurm = {
        "SLURM_JOB_ID": str(free_port()),  # of which Lightning makes its port
        "SLURM_JOB_NAME": "slurm.sbatch",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_NODEID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
    }
    ranks = [{"SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in "01"]
    said = ended(*(begin("kanlit", f"{line} {more}", **slurm, **rank) for rank in ranks))
    assert said.count("relative L2:") == 1
    assert "last checkpoint: " in said
    assert epochs(shared) == 6


# -- benchmarks and studies ---------------------------------------------------------------------

RESULTS = ["performance.md", *(f"results/{p.name}" for p in (ROOT / "docs/results").glob("*.md"))]
LINES = list(dict.fromkeys(line for page in sorted(RESULTS) for line in bash(f"docs/{page}")))


def test_a_result_comes_from_a_benchmark_or_a_study() -> None:
    assert {line.split()[0] for line in LINES} == {"kanlit", "python", "pip"}


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("kanlit ")])
def test_a_benchmark_of_the_results_is_a_matrix_of_runs(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    _, command, *words = shlex.split(line)
    assert command == "benchmark"
    if words[0] == "report":  # docs/density.md runs one
        benchmark_report._parser().parse_args(words[1:])
        return
    options = benchmark._parser().parse_args(words)
    benchmark._check(options)
    tasks, densities = choose_tasks(options.suite, options.tasks), benchmark._densities(options)
    first = dict([next(iter(densities.items()))])  # tests/benchmark/test_recipes.py has them all
    assert build_matrix(tasks[:1], first, options.recipe, options.seeds[:1], records=False).runs


class ParsedError(Exception):
    """In place of the hours that would follow."""


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("python ")])
def test_a_script_of_the_results_takes_its_options(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, *words = shlex.split(line)[1:]
    parse, before = argparse.ArgumentParser.parse_args, set(sys.modules)

    def parsed(self: argparse.ArgumentParser, *given: object) -> None:
        parse(self, words)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    monkeypatch.setattr(sys, "argv", [script, *words])
    monkeypatch.syspath_prepend(ROOT / "studies")
    with pytest.raises(ParsedError):
        runpy.run_path(str(ROOT / script), run_name="__main__")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(ROOT / "studies")):
            del sys.modules[name]
