"""Kills training runs at random times, resumes them, and compares them with uninterrupted ones.

    python studies/kill_test.py --runs 20

Each run is ``kanlit fit … --ckpt_path last`` in a separate process, killed with SIGKILL after a
random time and restarted until it ends. The contents of its last and best checkpoints (weights,
knots, optimizer, scheduler, callbacks) and the printed errors are compared bit by bit with those
of an uninterrupted run. Exit status 1 if any differ.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from kanlit.checkpoints import find_checkpoint
from kanlit.cli import main as kanlit

COMMON = """fit --trainer.max_epochs 60 --trainer.check_val_every_n_epoch 10
 --checkpoint.every_n_epochs 5 --trainer.enable_progress_bar false --trainer.accelerator cpu"""

FUNCTION = "--data SyntheticData --data.function f4 --data.samples 200 --model.hidden [5]"
EQUATION = """--data EquationData --data.sampling residual --data.points 150
 --data.condition_points 20 --data.redraw ResidualDraw --data.redraw.pool 1000
 --data.redraw.every 4 --model.hidden [4] --model.spline_order 4
 --model.optimizer LevenbergMarquardt --trainer.precision 64-true"""

FUNCTIONS = {
    "Adam, full batch, schedule": "--adaptation.schedule [3,5,8]",
    "SGD, StepLR, mini-batches, periodic": """--data.batch_size 32
 --model.optimizer torch.optim.SGD --model.optimizer.lr 0.05
 --model.lr_scheduler torch.optim.lr_scheduler.StepLR --model.lr_scheduler.step_size 7
 --adaptation.schedule [3,4,6] --adaptation.trigger PeriodicTrigger
 --adaptation.trigger.every 13""",
    "Adam, sparsity, pruned twice": """--model.sparsity_l1 0.01 --model.sparsity_entropy 0.01
 --adaptation.schedule [3,5,8] --trainer.callbacks+=PruningCallback
 --trainer.callbacks.epochs=[15,45] --trainer.callbacks.node_threshold=0.5
 --trainer.callbacks.max_loss_growth=1e9""",
    "L-BFGS, full batch, plateau": """--model.optimizer torch.optim.LBFGS
 --model.optimizer.max_iter 3 --adaptation.schedule [3,5,8]
 --adaptation.trigger PlateauTrigger --adaptation.trigger.patience 3
 --adaptation.trigger.threshold 0.2 --adaptation.trigger.cooldown 5""",
    "Adam, on plateau, mini-batches, plateau": """--data.batch_size 32
 --model.lr_scheduler ReduceLROnPlateau --model.lr_scheduler.monitor val/loss
 --model.lr_scheduler.patience 0 --model.lr_scheduler.threshold 0.5
 --adaptation.schedule [3,5,8] --adaptation.extension insert --adaptation.optimizer_state keep
 --adaptation.trigger PlateauTrigger --adaptation.trigger.patience 3
 --adaptation.trigger.threshold 0.2 --adaptation.trigger.cooldown 5""",
}

EQUATIONS = {
    "equation, points redrawn, continuation": """--data.equation Burgers
 --adaptation.schedule [3,4,5] --adaptation.trigger PeriodicTrigger --adaptation.trigger.every 11
 --trainer.callbacks+=Continuation --trainer.callbacks.number=viscosity
 --trainer.callbacks.schedule=[0.1,0.05,null] --trainer.callbacks.trigger=PeriodicTrigger
 --trainer.callbacks.trigger.every=15""",
    "equation, points redrawn, windows": """--data.equation Advection --data.equation.speed 1
 --adaptation.schedule [3,4] --adaptation.trigger PeriodicTrigger --adaptation.trigger.every 7
 --trainer.callbacks+=TimeWindows --trainer.callbacks.windows=4""",
}

CASES = {name: f"{FUNCTION} {words}" for name, words in FUNCTIONS.items()}
CASES |= {name: f"{EQUATION} {words}" for name, words in EQUATIONS.items()}

LIMIT = 600.0  # seconds for an undisturbed run


def start(folder: Path, case: str) -> int:
    """Forks a process that runs the command, with all imports done; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:  # never returns to the code of the parent
        os.chdir(folder)
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout = os.fdopen(1, "w")
        sys.stderr = os.fdopen(2, "w")
        command = f"{COMMON} {CASES[case]} --ckpt_path last"
        sys.argv = ["kanlit", *command.split()]
        status = 0
        try:
            kanlit()
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def ended(pid: int, seconds: float) -> bool:
    """Waits at most this long for a process to end; it must succeed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            if status:
                raise RuntimeError(f"process {pid} ended with wait status {status}")
            return True
        time.sleep(0.002)
    return False


def outcome(folder: Path) -> dict[str, Any]:
    """The results of a run, without names of folders."""
    last, best = (find_checkpoint(name, folder) for name in ("last", "best"))
    contents = {path.stem: torch.load(path, weights_only=True) for path in (last, best)}
    for content in contents.values():
        del content["loops"]  # the number of times that loops were entered
    errors = re.findall(r"relative L2:? ([0-9.e+-]+)", (folder / "log.txt").read_text())
    return {**contents, "errors": errors}


def difference(a: Any, b: Any, where: str = "") -> str | None:
    """Where two structures of tensors and Python values first differ, bit by bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape
        raw = (t.detach().contiguous().flatten().view(torch.uint8) for t in (a, b) if t.numel())
        same = same and all(torch.equal(x, y) for x, y in zip(*[iter(raw)] * 2, strict=True))
        return None if same else where
    if type(a) is not type(b):
        return where
    if isinstance(a, dict):
        keys = [(_nameless(x), _nameless(y)) for x, y in zip(a, b, strict=False)]
        if len(a) != len(b) or any(x != y for x, y in keys):
            return where
        pairs = zip(a, a.values(), b.values(), strict=True)
        return next((d for k, x, y in pairs if (d := difference(x, y, f"{where}/{k}"))), None)
    if isinstance(a, (list, tuple)):
        if len(a) != len(b):
            return where
        pairs = zip(range(len(a)), a, b, strict=True)
        return next((d for i, x, y in pairs if (d := difference(x, y, f"{where}/{i}"))), None)
    return None if _nameless(a) == _nameless(b) or (a != a and b != b) else where


def _nameless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return re.sub(r"^.*lightning_logs/version_\d+", "RUN", value)


def killed_run(
    folder: Path, case: str, seconds: float, moments: random.Random, most: int
) -> list[float]:
    """Runs to the end, killed 1 to ``most`` times; returns the times of the kills."""
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        kills: list[float] = []
        while True:
            moment = moments.uniform(0.0, 0.9 * seconds)
            pid = start(folder, case)
            if ended(pid, moment if len(kills) < most else LIMIT):
                break
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            kills.append(moment)
        if kills:
            return kills


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20, help="number of killed runs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the kill times")
    parser.add_argument("--kills", type=int, default=5, help="largest number of kills per run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    moments = random.Random(options.seed)
    same = 0
    with tempfile.TemporaryDirectory(prefix="kanlit-kill-") as root:
        print(f"{'run':>3}  {'case':40} {'seconds':>7}  {'killed after (s)':36} the same")
        unbroken: dict[str, tuple[dict[str, Any], float]] = {}
        for case in list(CASES)[: options.runs]:
            for attempt in ("first", "second"):  # time the second: the first fills caches
                folder = Path(root, f"{case} {attempt}")
                folder.mkdir()
                began = time.monotonic()
                if not ended(start(folder, case), LIMIT):
                    raise RuntimeError(f"{case}: no end after {LIMIT} s")
            unbroken[case] = outcome(folder), time.monotonic() - began
        for run in range(options.runs):
            case = list(unbroken)[run % len(unbroken)]
            expected, seconds = unbroken[case]
            folder = Path(root, str(run))
            kills = killed_run(folder, case, seconds, moments, options.kills)
            differs = difference(outcome(folder), expected)
            same += differs is None
            times = " ".join(f"{moment:.2f}" for moment in kills)
            print(
                f"{run + 1:3}  {case:40} {seconds:7.2f}  {times:36} "
                f"{'yes' if differs is None else 'NO: ' + differs}",
                flush=True,
            )
    print(f"{same} of {options.runs} killed runs ended bit-identical to an uninterrupted one")
    sys.exit(same != options.runs)


if __name__ == "__main__":
    main()
