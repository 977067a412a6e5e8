"""Runs every command on hostile checkpoints and configs, with an audit hook.

    python studies/hostile_files.py --output docs/results/hostile_files.md

After one training run, each of 27 fields of its checkpoint is replaced by each of ten hostile
values, and each of ten keys of its ``config.yaml`` by each of five. Every command reads every such
file. The page counts uncaught exceptions, imports from the working folder, started processes and
files removed or written outside the folder of the run, and has the longest time and peak memory.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from kanlit.cli import main as kanlit

FIT = """\
data: {class_path: TableData, init_args: {path: table.csv, inputs: [a, b], targets: [y]}}
model:
  hidden: []
  optimizer: {class_path: LevenbergMarquardt, init_args: {smoothness: auto}}
trainer:
  max_epochs: 4
  precision: 64-true
  enable_progress_bar: false
  callbacks: [{class_path: KeepBest}, {class_path: Refit}]
checkpoint: {every_n_epochs: 2}
adaptation: {schedule: [3, 4]}
"""
LAYER = "network.layers.0"

# Fields for each kind of content of a checkpoint.
FIELDS: list[tuple[Any, ...]] = [
    ("hyper_parameters", "hidden"),
    ("hyper_parameters", "grid_size"),
    ("hyper_parameters", "basis"),
    ("hyper_parameters", "optimizer"),
    ("hyper_parameters",),
    ("kanlit", "class_path"),
    ("kanlit", "columns"),
    ("kanlit", "columns", "low"),
    ("kanlit", "equation"),
    ("kanlit", "uncertainty"),
    ("kanlit", "uncertainty", "covariance"),
    ("kanlit", "uncertainty", "noise"),
    ("state_dict", f"{LAYER}.knots"),
    ("state_dict", f"{LAYER}.coefficients"),
    ("state_dict", "input_std"),
    ("epoch",),
    ("pytorch-lightning_version",),
    ("loops", "fit_loop", "epoch_progress"),
    ("callbacks", "Checkpoint", "best_k_models"),
    ("callbacks", "Checkpoint", "best_model_path"),
    ("callbacks", "KnotPlotCallback", "history"),
    ("callbacks", "GridAdaptationCallback", "watch"),
    ("callbacks", "KeepBest", "best"),
    ("callbacks", "KeepBest", "kept"),
    ("optimizer_states", 0, "state", 0),
    ("optimizer_states", 0, "state", 1, "straightening"),
    ("optimizer_states", 0, "param_groups", 0, "lr"),
]
CONFIG_FIELDS = [
    ("data",),
    ("data", "class_path"),
    ("data", "init_args", "path"),
    ("data", "init_args", "inputs"),
    ("model", "class_path"),
    ("model", "init_args", "optimizer"),
    ("trainer", "callbacks"),
    ("trainer", "logger"),
    ("adaptation", "density"),
    ("seed_everything",),
]
COMMANDS = (
    "predict --ckpt_path {path} --input table.csv --output run/new.csv",
    "test --config fit.yaml --ckpt_path {path}",
    "validate --config fit.yaml --ckpt_path {path}",
    "predict --config fit.yaml --ckpt_path {path}",
    "fit --config fit.yaml --ckpt_path {path} --trainer.max_epochs 5",
    "plot {path} --output run/plots",
    "formula {path} --trials 1",
    "export {path} --output run/network.pt2",
)
READ_CONFIG = ("plot", "formula")  # the other commands do not read it
# A module in the working folder that records its import.
MODULES = ("hostile", "tensorflow", "mpi4py", "s3fs", "zstandard")
CALL = {"class_path": "os.system", "init_args": {"command": "touch mark"}}


def nested(depth: int) -> list[Any]:
    """Nested lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def values(folder: Path) -> dict[str, Any]:
    """Ten hostile values for a field of a checkpoint."""
    return {
        "nothing": None,
        "minus one": -1,
        "an integer of 70 bits": 2**70,
        "NaN": float("nan"),
        "a module's name": "hostile.Thing",
        "a call": CALL,
        "a folder to remove": {f"local://{folder}/victim": torch.tensor(float("inf"))},
        "a tensor of 4 TB": torch.zeros(1).expand(10**12),
        "a complex tensor": torch.zeros(2, 2, dtype=torch.complex64),
        "a list 300 deep": nested(300),
    }


CONFIG_VALUES: dict[str, Any] = {
    "a call": CALL,
    "a module's name": "hostile.Thing",
    "a thousand million": 10**9,
    "a device": "/dev/zero",
    "aliases": "ALIASES",
}
ALIASES = "\n".join(
    ["bomb:", "- &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"- &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
)


PAGE = """\
# Hostile files

`python studies/hostile_files.py` replaces 27 fields of a checkpoint by ten hostile values each, and
ten keys of the `config.yaml` beside it by five each. Every command reads every such checkpoint,
`plot` and `formula`, which alone look at it, every such config, under an audit hook. Status 0 is a
file whose change does not matter to the command, such as an optimizer's state to `predict`; status
1 is training or a prediction that is not finite.

"""


Files = Iterator[tuple[str, Callable[[], Path]]]  # what was changed, and a function that writes it


@dataclass
class Outcome:
    """Outcome of one command on one file."""

    what: str
    command: str
    status: str  # 0, 2, or the uncaught exception
    said: str
    seconds: float
    broken: list[str]  # what the audit hook saw


class Watch:
    """Audit hook for actions that reading a file must not cause; hooks cannot be removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._look)

    def _look(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
            self.seen.append(f"{event} {args[0]}")
        elif event in ("os.remove", "os.rmdir", "shutil.rmtree", "os.rename"):
            home = args[-1] if event in ("os.remove", "os.rmdir") else -1
            below = f"/proc/self/fd/{home}" if isinstance(home, int) and home >= 0 else ""
            self._outside(event, os.path.join(below, os.fsdecode(args[0])))
        elif event == "open" and isinstance(args[0], str | bytes | os.PathLike):
            if args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self._outside("writes", args[0])
            elif os.fsdecode(args[0]) in {str(self.folder / f"{name}.py") for name in MODULES}:
                self.seen.append(f"imports {os.fsdecode(args[0])}")

    def _outside(self, event: str, path: Any) -> None:
        place = os.path.realpath(os.fsdecode(path))
        inside = place.startswith((str(self.folder / "run"), str(self.folder / "lightning_logs")))
        if not inside and place != "/dev/null" and not place.startswith("/dev/shm"):
            self.seen.append(f"{event} {place}")


def run(words: str) -> tuple[str, str, float]:
    """Runs a command in this process: status, last line and seconds."""
    sys.argv = ["kanlit", *words.split()]
    said = io.StringIO()
    began, status = time.perf_counter(), "0"
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            kanlit()
        except SystemExit as end:
            status = str(end.code or 0)
        except BaseException as error:
            status = type(error).__name__
            said.write(f"{status}: {' '.join(str(error).split())}")
    lines = [line for line in said.getvalue().splitlines() if line.strip()]
    return status, lines[-1] if lines else "", time.perf_counter() - began


def prepare(folder: Path) -> Path:
    """Creates a trained run and hostile modules in a folder, and changes to it."""
    os.chdir(folder)
    rows = torch.rand(60, 2, generator=torch.Generator().manual_seed(0)).tolist()
    lines = [f"{a},{b},{a * a + b}" for a, b in rows]
    Path("table.csv").write_text("a,b,y\n" + "\n".join(lines) + "\n")
    Path("fit.yaml").write_text(FIT)
    for name in MODULES:
        Path(f"{name}.py").write_text(f"open({str(folder / 'mark')!r}, 'w')\n")
    status, said, _ = run("fit --config fit.yaml")
    if status != "0":
        raise RuntimeError(f"the run to start from has failed: {said}")
    (folder / "lightning_logs" / "version_0").rename(folder / "run")
    return folder / "run" / "checkpoints" / "last.ckpt"


def replaced(content: Any, keys: tuple[Any, ...], value: Any) -> Any:
    """A copy of the content with one field replaced or added."""
    made = copy.deepcopy(content)
    place = made
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return made


def checkpoints(
    source: Path, fields: int, hostile: int
) -> Iterator[tuple[str, Callable[[], Path]]]:
    """Each mutation of a checkpoint, and a function that writes it."""
    content = torch.load(source, weights_only=True)
    path, config = source.with_name("hostile.ckpt"), source.parents[1] / "config.yaml"
    settings = config.read_text()
    for keys in FIELDS[:fields]:
        for name, value in list(values(source.parents[2]).items())[:hostile]:

            def write(keys: tuple[Any, ...] = keys, value: Any = value) -> Path:
                torch.save(replaced(content, keys, value), path)
                config.write_text(settings)
                return path

            yield f"{'.'.join(map(str, keys))}: {name}", write


def configs(source: Path, fields: int, hostile: int) -> Files:
    """Each mutation of the config of a run, and a function that writes it."""
    config = source.parents[1] / "config.yaml"
    text = config.read_text()
    content = yaml.safe_load(text)
    for keys in CONFIG_FIELDS[:fields]:
        for name, value in list(CONFIG_VALUES.items())[:hostile]:

            def write(keys: tuple[Any, ...] = keys, value: Any = value) -> Path:
                text = yaml.safe_dump(replaced(content, keys, value))
                if value == "ALIASES":
                    text = f"{ALIASES}\n{text.replace('ALIASES', '*a9')}"
                config.write_text(text)
                return source

            yield f"config {'.'.join(keys)}: {name}", write


def examine(
    folder: Path, fields: int, hostile: int, commands: tuple[str, ...] = COMMANDS
) -> list[Outcome]:
    """Runs all commands on all mutations in this process."""
    folder = folder.resolve()
    source = prepare(folder)
    watch = Watch(folder)
    found: list[Outcome] = []
    beside = tuple(c for c in commands if c.startswith(READ_CONFIG))
    every = [(*each, beside) for each in configs(source, fields, (hostile + 1) // 2)]
    every += [(*each, commands) for each in checkpoints(source, fields, hostile)]
    random.Random(0).shuffle(every)  # so that an interrupted study has some of each kind
    for what, write, run_these in every:
        for command in run_these:
            victim = folder / "victim"
            victim.mkdir(exist_ok=True)
            (victim / "file").touch()
            path = write()
            watch.seen, watch.on = [], True
            status, said, seconds = run(command.format(path=path.relative_to(folder)))
            watch.on = False
            if status == "130":  # interrupted
                return found
            broken = list(dict.fromkeys(watch.seen))
            broken += ["a mark is left"] if (folder / "mark").exists() else []
            broken += [] if (victim / "file").exists() else ["a folder is gone"]
            (folder / "mark").unlink(missing_ok=True)
            shutil.rmtree(folder / "lightning_logs", ignore_errors=True)
            found.append(Outcome(what, command.split()[0], status, said, seconds, broken))
            if broken or seconds > 30 or status not in ("0", "1", "2"):
                print(f"{what} | {command} | {status} | {said[:200]} | {broken}", flush=True)
    return found


def report(found: list[Outcome]) -> str:
    """The counts, as Markdown."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    files = len({outcome.what for outcome in found})
    escaped = [o for o in found if o.status not in ("0", "1", "2")]
    broken = [o for o in found if o.broken]
    unsaid = [
        o for o in found if o.status in ("1", "2") and not o.said.startswith("kanlit: error: ")
    ]
    rows = Counter((o.command, o.status) for o in found)
    lines = [
        f"{files} files, {len(found)} commands on them:",
        "",
        "| | |",
        "|---|---|",
        f"| uncaught exceptions | {len(escaped)} |",
        f"| exit status 1 or 2 without an error message | {len(unsaid)} |",
        f"| imports, processes, files changed outside the folder of the run | {len(broken)} |",
        f"| longest command | {max(o.seconds for o in found):.1f} s |",
        f"| peak memory, all commands in one process | {peak:.2f} GB |",
        "",
        "| command | status 0 | status 1 | status 2 |",
        "|---|---|---|---|",
    ]
    names = dict.fromkeys(o.command for o in found)
    lines += [
        f"| {name} | {rows[name, '0']} | {rows[name, '1']} | {rows[name, '2']} |" for name in names
    ]
    return PAGE + "\n".join(lines) + "\n"


def main() -> None:
    """Runs the study and prints the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=len(FIELDS))
    parser.add_argument("--values", type=int, default=10)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    output = options.output and options.output.resolve()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        text = report(examine(Path(folder), options.fields, options.values))
    print(text)
    if output:
        output.write_text(text)


if __name__ == "__main__":
    main()
