"""Time of the paper's f1 run, 2000 epochs in four stages, with ``kanlit fit``.

    python studies/published_run.py

The time from the start of the process to its end includes imports, data, training, adaptations,
validation, logs, knot plots, checkpoints and tests. Settings are those of configs/synthetic.yaml
with the default density.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "synthetic.yaml"


def run(epochs: int | None) -> tuple[float, float]:
    """Seconds of wall time and of processor time."""
    with tempfile.TemporaryDirectory() as root:
        words = ["-m", "kanlit", "fit", "--config", str(CONFIG)]
        words += ["--trainer.default_root_dir", root, "--trainer.enable_progress_bar", "false"]
        if epochs is not None:
            words += ["--trainer.max_epochs", str(epochs)]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"kanlit fit failed:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="default: 2000, as in the protocol")
    options = parser.parse_args()
    rounds = [run(options.epochs) for _ in range(options.rounds)]
    print("| run | wall time, s | processor time, s |\n|---|---|---|")
    for number, (wall, cpu) in enumerate(rounds, 1):
        print(f"| {number} | {wall:.1f} | {cpu:.1f} |")
    wall, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
    print(f"| median | {wall:.1f} | {cpu:.1f} |")


if __name__ == "__main__":
    main()
