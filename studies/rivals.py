"""Error against seconds of kanlit's configs and of DeepXDE's documented recipes.

    python -m venv pytorch && pytorch/bin/pip install torch 'deepxde==1.15.*'
    python -m venv tf && tf/bin/pip install 'deepxde==1.15.*' 'tensorflow-cpu==2.15.*'
    python studies/rivals.py --pytorch pytorch/bin/python --tensorflow tf/bin/python

Each run is a process of its own with one thread. Seconds are of the processor from the start of
the process, imports and set-up included, less those for the errors themselves. The error is the
relative L2 error on the equation's test grid of 100 × 100 points. Rows are appended to --rows, and
those that are there are not measured again; figure and table have all rows. The recipes of DeepXDE
are in deepxde_recipes.py; training ends with the recipe or at --cap seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from matplotlib.figure import Figure

from kanlit.problems import AllenCahn, BoundaryValueProblem, Burgers, Wave, grid_points

ROOT = Path(__file__).resolve().parents[1]
EQUATIONS = {"burgers": Burgers, "allen_cahn": AllenCahn, "wave": Wave}
COLORS = {"kanlit": "#0072B2", "DeepXDE": "#D55E00"}
COLUMNS = ["problem", "method", "iteration", "seconds", "rel_l2"]
EVERY = 1.1  # factor between two errors, in seconds
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


class Watch(Callback):
    """Prints the error now and then, and at the end, like the recipes of DeepXDE."""

    def __init__(self) -> None:
        self._aside = self._due = 0.0

    def on_train_start(self, trainer: Any, pl_module: LightningModule) -> None:
        before = time.process_time()
        self._x, self._u = trainer.datamodule.build("test")
        self._aside += time.process_time() - before

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if time.process_time() - self._aside > self._due:
            self._record(trainer.current_epoch + 1, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._record(trainer.current_epoch, pl_module)

    def _record(self, epoch: int, module: LightningModule) -> None:
        before = time.process_time()
        spent = before - self._aside
        with torch.no_grad():
            error = module(self._x) - self._u
        found = float(error.norm() / self._u.norm())
        row = {"iteration": epoch, "seconds": round(spent, 2), "rel_l2": found}
        print(json.dumps(row), flush=True)
        self._due = EVERY * spent
        self._aside += time.process_time() - before


def measured(command: list[str], folder: Path | str) -> list[dict[str, Any]]:
    """The rows that a process prints, one JSON object per line."""
    studies = str(Path(__file__).resolve().parent)
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": studies},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


def deepxde(problem: str, python: Path, cap: float) -> list[dict[str, Any]]:
    equation = BoundaryValueProblem(EQUATIONS[problem]())
    x = grid_points(equation.equation.bounds, 100)
    with tempfile.TemporaryDirectory() as folder:
        points = Path(folder) / "points.npz"
        np.savez(points, x=x.numpy(), u=equation.solution(x).numpy())
        script = str(ROOT / "studies" / "deepxde_recipes.py")
        command = [str(python.absolute()), script, problem, "--points", str(points)]
        return measured([*command, "--cap", str(cap)], folder)


def kanlit(problem: str, folder: Path) -> list[dict[str, Any]]:
    config = ROOT / "configs" / "equations" / f"{problem}.yaml"
    command = [sys.executable, "-m", "kanlit", "fit", "--config", str(config)]
    command += ["--trainer.callbacks+", "rivals.Watch", "--trainer.enable_progress_bar", "false"]
    folder = folder / problem
    folder.mkdir(parents=True, exist_ok=True)
    return measured(command, folder)


def picture(rows: pd.DataFrame) -> Figure:
    """Errors against seconds, one panel per problem."""
    figure = Figure(figsize=(9.6, 3.4), dpi=100, layout="constrained")
    for axes, problem in zip(figure.subplots(1, len(EQUATIONS)), EQUATIONS, strict=True):
        for method, own in rows[rows["problem"] == problem].groupby("method"):
            last = own.iloc[-1]
            axes.plot(own["seconds"], own["rel_l2"], color=COLORS[method], lw=1.5)
            axes.plot(last["seconds"], last["rel_l2"], "o", color=COLORS[method], label=method)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(problem.replace("_", "-").title(), fontsize=10)
        axes.set_xlabel("processor seconds", fontsize=9)
        axes.grid(alpha=0.25, lw=0.5)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("relative L2 error", fontsize=9)
    figure.axes[0].legend(fontsize=8.5, frameon=False, loc="lower left")
    return figure


def table(rows: pd.DataFrame) -> str:
    """Final errors in Markdown."""
    lines = [
        "| problem | method | relative L2, end | least | iterations | seconds | kanlit as good |",
        "|---|---|---|---|---|---|---|",
    ]
    for (problem, method), own in rows.groupby(["problem", "method"], sort=False):
        last, least = own.iloc[-1], own["rel_l2"].min()
        ours = rows[(rows["problem"] == problem) & (rows["method"] == "kanlit")]
        reached = ours[ours["rel_l2"] <= least]["seconds"]
        after = "" if method == "kanlit" or reached.empty else f"{reached.iloc[0]:.0f} s"
        lines.append(
            f"| {problem} | {method} | {last['rel_l2']:.1e} | {least:.1e} | "
            f"{int(last['iteration'])} | {last['seconds']:.0f} | {after} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pytorch", type=Path, help="interpreter with DeepXDE and PyTorch")
    parser.add_argument("--tensorflow", type=Path, help="interpreter with DeepXDE and TensorFlow")
    parser.add_argument("--problems", nargs="+", choices=EQUATIONS, default=list(EQUATIONS))
    parser.add_argument("--cap", type=float, default=900.0, help="processor seconds of DeepXDE")
    parser.add_argument("--rows", type=Path, default=ROOT / "docs" / "results" / "rivals.csv")
    parser.add_argument("--plot", type=Path, help="figure to write")
    parser.add_argument("--runs", type=Path, default=Path("rivals"), help="for runs of kanlit")
    options = parser.parse_args()
    rows = pd.read_csv(options.rows) if options.rows.exists() else pd.DataFrame(columns=COLUMNS)
    done = set(zip(rows["problem"], rows["method"], strict=True))
    for problem in options.problems:
        python = options.tensorflow if problem == "wave" else options.pytorch
        for method in COLORS:
            if (problem, method) in done or (method == "DeepXDE" and python is None):
                continue
            if method == "kanlit":
                found = kanlit(problem, options.runs)
            else:
                found = deepxde(problem, python, options.cap)
            own = pd.DataFrame(found).assign(problem=problem, method=method)[COLUMNS]
            own.to_csv(options.rows, mode="a", header=not options.rows.exists(), index=False)
            rows = pd.concat([rows, own]) if len(rows) else own
    if options.plot:
        picture(rows).savefig(options.plot)
    print(table(rows))


if __name__ == "__main__":
    main()
