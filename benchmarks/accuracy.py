"""Final errors of ``kanlit fit`` under the paper's protocol, medians over seeds.

    python benchmarks/accuracy.py                      # the tasks and seeds of the README's table
    python benchmarks/accuracy.py --tasks f2 f4 --seeds 42 43 -- --adaptation.density InputDensity

Whatever follows ``--`` goes to every ``kanlit fit``. Each run is a process of its own with one
thread, two at a time; its error is the line that ``kanlit fit`` prints.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
TASKS = ["f2", "f4", "f6", "f7", "f8", "feynman9", "helmholtz11"]
SEEDS = {"synthetic": [42, 43, 44, 45, 46], "feynman": [44, 45, 46], "helmholtz": [3, 5, 9]}


def arguments(task: str) -> tuple[str, list[str]]:
    """Benchmark and overrides of a task such as ``f2``, ``feynman9`` or ``helmholtz12``."""
    if match := re.fullmatch(r"f(\d+)", task):
        return "synthetic", ["--data.function", task]
    if match := re.fullmatch(r"feynman(\d+)", task):
        return "feynman", ["--data.equation", match[1]]
    if match := re.fullmatch(r"helmholtz(\d)(\d)", task):
        return "helmholtz", ["--data.a1", match[1], "--data.a2", match[2]]
    raise SystemExit(f"unknown task {task}: f1 … f10, feynman1 … feynman15, helmholtz11 …")


def run(task: str, seed: int, configs: Path, extra: list[str]) -> tuple[float, float]:
    """Relative L2 error and training seconds of one run."""
    benchmark, overrides = arguments(task)
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-m", "kanlit", "fit"]
        command += ["--config", str(configs / f"{benchmark}.yaml"), *overrides]
        command += ["--seed_everything", str(seed), "--trainer.default_root_dir", root]
        command += ["--trainer.enable_progress_bar", "false", *extra]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{task} seed {seed}: {done.stderr.strip().splitlines()[-1]}")
    found = [re.search(rf"^{key}: (\S+)", done.stdout, re.M) for key in ("relative L2", "seconds")]
    error, seconds = (float(match[1]) for match in found if match)
    return error, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, help="default: the paper's")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--configs", type=Path, default=CONFIGS)
    own, extra = sys.argv[1:], []
    if "--" in own:
        own, extra = own[: own.index("--")], own[own.index("--") + 1 :]
    options = parser.parse_args(own)
    print("| task | median | each seed | seconds |\n|---|---|---|---|", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        pending = {
            task: [
                pool.submit(run, task, seed, options.configs, extra)
                for seed in options.seeds or SEEDS[arguments(task)[0]]
            ]
            for task in options.tasks
        }
        for task, futures in pending.items():
            errors, seconds = zip(*(future.result() for future in futures), strict=True)
            each = " ".join(f"{error:.2e}" for error in errors)
            row = f"| {task} | {statistics.median(errors):.2e} | {each} |"
            print(f"{row} {statistics.median(seconds):.1f} |", flush=True)


if __name__ == "__main__":
    main()
