"""Tests all loggers with all checkpoint settings and all commands that use a run.

    python studies/run_matrix.py

Each combination has its own folder, with an older run of another width. It is trained and killed,
resumed, trained again, tested, predicted, plotted and exported by ``last``. A cell is ``ok`` if the
command worked with the files of this run, ``refused`` if it gave the reason in one line, and starts
with ``WRONG`` otherwise. The older run and a user's file ``config.yaml`` must stay unchanged. Exit
status 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from kanlit.callbacks import GridAdaptationCallback
from kanlit.checkpoints import read_checkpoint
from kanlit.cli import main as kanlit

LOGGERS = {
    "none": "--trainer.logger false",
    "CSV": "--trainer.logger CSVLogger --trainer.logger.save_dir .",
    "TensorBoard": "",
    "own save_dir": "--trainer.logger TensorBoardLogger --trainer.logger.save_dir logs "
    "--trainer.logger.name mine",
}
CHECKPOINTS = {
    "default": "",
    "own dirpath": "--checkpoint.dirpath kept --checkpoint.filename '{epoch}'",
    "own ModelCheckpoint": "--trainer.callbacks ModelCheckpoint "
    "--trainer.callbacks.monitor val/loss --trainer.callbacks.filename best",
    "off": "--trainer.enable_checkpointing false",
}
STEPS = ("kill", "resume", "fit", "test", "predict", "predict --input", "plot", "export")
DATA = "--data TableData --data.path t.csv --data.inputs '[a, b]' --data.targets '[y]'"
FIT = (
    f"fit {DATA} --model.hidden '[2]' --adaptation.schedule '[3]' --trainer.max_epochs 6 "
    "--trainer.check_val_every_n_epoch 2 --checkpoint.every_n_epochs 2 --trainer.accelerator cpu "
    "--trainer.enable_progress_bar false"
)


def run(folder: Path, words: str, prepare: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Runs a command in a forked process with all imports done: status, output."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:  # never returns to the code of the parent
            os.chdir(folder)
            log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            sys.argv = ["kanlit", *shlex.split(words)]
            prepare()
            try:
                kanlit()
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), (folder / "log.txt").read_text()


def die_in_epoch_3() -> None:
    """Kills the next run after its checkpoint of the second epoch."""
    before = GridAdaptationCallback.on_train_epoch_start

    def start(self: GridAdaptationCallback, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        before(self, trainer, pl_module)

    GridAdaptationCallback.on_train_epoch_start = start  # type: ignore[method-assign]


class Combination:
    """One combination of settings in its own folder.

    Args:
        folder: An empty folder.
        logger: One of :data:`LOGGERS`.
        checkpoint: One of :data:`CHECKPOINTS`.
    """

    def __init__(self, folder: Path, logger: str, checkpoint: str) -> None:
        self.folder = folder
        self.keeps = checkpoint != "off"
        self.reuses = checkpoint == "own dirpath"
        self.own = checkpoint == "own ModelCheckpoint"
        self.fit = f"{FIT} {LOGGERS[logger]} {CHECKPOINTS[checkpoint]}"
        self.settings = f"{DATA} {LOGGERS[logger]}"
        table = pd.DataFrame(np.random.default_rng(0).random((40, 2)), columns=["a", "b"])
        table.assign(y=table.a * table.b).to_csv(folder / "t.csv", index=False)
        (folder / "config.yaml").write_text("# the user's own\n")
        status, output = run(folder, f"{FIT} --model.hidden '[3]'")
        if status:
            raise RuntimeError(output)
        self.newest = Path("lightning_logs/version_0/checkpoints/last.ckpt")
        self.untouched = self._digests()

    def _digests(self) -> dict[Path, str]:
        older = sorted((self.folder / "lightning_logs" / "version_0").rglob("*"))
        files = [self.folder / "config.yaml", *(path for path in older if path.is_file())]
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def outcome(self, step: str) -> str:
        """The outcome of a step: ``ok``, ``refused`` or ``WRONG: …``."""
        status, output = self._run(step)
        found = self._judge(step, status, output)
        if self._digests() != self.untouched:
            return "WRONG: a file of another run, or of the user's, has changed"
        return found

    def _run(self, step: str) -> tuple[int, str]:
        commands = {
            "resume": f"{self.fit} --ckpt_path last",
            "fit": self.fit,
            "test": f"test {self.settings} --ckpt_path best",
            "predict": f"predict {self.settings} --ckpt_path last",
            "predict --input": "predict --ckpt_path last --input t.csv --output out.csv",
            "plot": "plot last",
            "export": "export last --output out.pt2",
        }
        if step == "kill":
            return run(self.folder, self.fit, die_in_epoch_3)
        return run(self.folder, commands[step])

    def _judge(self, step: str, status: int, output: str) -> str:
        if "Traceback" in output:
            return f"WRONG: {output.splitlines()[-1]}"
        said = [line for line in output.splitlines() if line.startswith("kanlit: error: ")]
        if status == 2 and len(said) == 1:
            print(f"  {step}: {said[0]}")
            # A run must not overwrite checkpoints of another; without any, there is nothing to use.
            allowed = step != "kill" and (self.reuses if step == "fit" else not self.keeps)
            return "refused" if allowed else f"WRONG: {said[0]}"
        if step == "kill":
            return "ok" if status == -signal.SIGKILL else f"WRONG: status {status}"
        if status:
            return f"WRONG: status {status}"
        if not self.keeps:
            expected = "checkpoint: none kept" if step == "fit" else "the run starts fresh"
            fits = step in ("fit", "resume")
            return "ok" if fits and expected in output else f"WRONG: no {expected!r}"
        return self._trained(step, output) if step in ("fit", "resume") else self._used(output)

    def _trained(self, step: str, output: str) -> str:
        path = Path(_named("checkpoint", output))
        content = read_checkpoint(self.folder / path)
        width = content["state_dict"]["network.layers.0.knots"].shape[0]
        hidden = content["state_dict"]["network.layers.1.knots"].shape[0]
        if (content["epoch"], width, hidden) != (6, 2, 2):
            return f"WRONG: {path} is of epoch {content['epoch']}, width {hidden}"
        start = _named("last checkpoint", output)
        if (step == "resume") != bool(start):
            return f"WRONG: it started from {start or 'scratch'}"
        if start and "epoch 0: grids adapted" in output:
            return "WRONG: it began with epoch 0"
        if path == self.newest and not self.reuses:
            return f"WRONG: {path} was another run's"
        logs = _named("next: tensorboard --logdir", output, " ")
        if logs and not any((self.folder / logs).glob("*/events.out.*")):
            return f"WRONG: no events under {logs}"
        if (
            self.own
            and not (self.folder / _named("checkpoint of ModelCheckpoint", output)).is_file()
        ):
            return "WRONG: the user's own checkpoint is not named"
        self.newest = path
        return "ok"

    def _used(self, output: str) -> str:
        found = re.search(r"(?:checkpoint: |difference from )(\S+\.ckpt)", output)
        if found is None or Path(found[1]).parent != self.newest.parent:
            return f"WRONG: {found and found[1]} was taken, not {self.newest}"
        for path in re.findall(r"^[\w ]+: (\S+\.(?:csv|png|pt2|ckpt))\b", output, re.MULTILINE):
            if not (self.folder / path).is_file():
                return f"WRONG: there is no {path}"
        return "ok"


def _named(word: str, output: str, colon: str = ": ") -> str:
    """The text after ``word: `` at the start of a line, also of Lightning's log."""
    found = re.search(rf"^(?:INFO: )?{word}{colon}(\S+)", output, re.MULTILINE)
    return found[1] if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--diagonal", action="store_true", help="only four combinations, with each setting once"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    pairs = list(product(LOGGERS, CHECKPOINTS))
    if options.diagonal:
        pairs = list(zip(LOGGERS, CHECKPOINTS, strict=True))
    rows, wrong = [], 0
    with tempfile.TemporaryDirectory(prefix="kanlit-matrix-") as root:
        for number, (logger, checkpoint) in enumerate(pairs):
            folder = Path(root, str(number))
            folder.mkdir()
            print(f"{logger}, {checkpoint}", flush=True)
            combination = Combination(folder, logger, checkpoint)
            cells = [combination.outcome(step) for step in STEPS]
            wrong += sum(cell.startswith("WRONG") for cell in cells)
            rows.append([logger, checkpoint, *cells])
    print("\n| " + " | ".join(["logger", "checkpoint", *STEPS]) + " |")
    print("|---" * (len(STEPS) + 2) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(f"\n{len(rows) * len(STEPS)} commands, {wrong} wrong")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
