"""Errors on the shipped equations, each trained by its config, beside published figures.

    python studies/equations.py --seeds 3 4 5 --problems wave advection

The runs are those of ``kanlit benchmark --suite equations --recipe best``, and of its suite
helmholtz; seconds are of the processor, with one thread, without imports. Rows are appended to
docs/results/equations.csv, and those that are there are not run again. Without ``--seeds`` only the
table is printed. The page says which seeds chose the settings.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd

from kanlit.benchmark import Task, build_matrix, choose_tasks, train
from kanlit.benchmark.published import published_equations

ROWS = Path(__file__).resolve().parents[1] / "docs" / "results" / "equations.csv"
TASKS = {task.name: task for task in choose_tasks("equations")}
TASKS |= {f"helmholtz {task.name}": task for task in choose_tasks("helmholtz")}
TARGETS = {
    "burgers": "4e-5 in 180 s",
    "allen_cahn": "1e-4 in 240 s",
    "kdv": "4e-4 in 600 s",
    "kuramoto_sivashinsky": "any",
    "wave": "1e-4 in 120 s",
    "advection": "1e-3 in 180 s",
    "helmholtz (1,1)": "1e-7 in 60 s",
    "helmholtz (1,2)": "5e-6 in 60 s",
    "helmholtz (2,2)": "5e-6 in 60 s",
    "helmholtz (2,4)": "2e-4 in 60 s",
    "helmholtz (1,4)": "1e-5 in 120 s",
    "helmholtz (4,4)": "1e-4 in 120 s",
    "cavity": "1e-2 in 600 s",
}


def run(name: str, task: Task, seed: int) -> dict[str, str | int | float]:
    """Trains by the recipe ``best``."""
    (one,) = build_matrix([task], {"default": {}}, "best", [seed]).runs
    before = time.process_time()
    row = train(one, threads=1).row
    seconds = time.process_time() - before
    if row.rel_l2 is None:
        raise RuntimeError(f"{name}, seed {seed}: {row.error}")
    error = float(f"{row.rel_l2:.4g}")
    return {"problem": name, "seed": seed, "rel_l2": error, "seconds": round(seconds, 1)}


def table(rows: pd.DataFrame) -> str:
    """Medians by problem in Markdown."""
    quoted = published_equations().fillna("").set_index("task")
    lines = [
        "| problem | relative L2, median | of seeds | seconds | target | published | best known |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, own in rows.sort_values("seed").groupby("problem", sort=False):
        each = ", ".join(f"{error:.1e}" for error in own["rel_l2"])
        first, best = quoted.loc[name] if name in quoted.index else ("", "")
        lines.append(
            f"| {name} | {own['rel_l2'].median():.1e} | {each} | {own['seconds'].median():.0f} | "
            f"{TARGETS.get(str(name), '')} | {first} | {best} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[])
    arguments = parser.parse_args()
    rows = pd.read_csv(ROWS)
    done = set(zip(rows["problem"], rows["seed"], strict=True))
    for name in arguments.problems:
        for seed in arguments.seeds:
            if (name, seed) not in done:
                row = pd.DataFrame([run(name, TASKS[name], seed)])
                row.to_csv(ROWS, mode="a", header=False, index=False)
                rows = pd.concat([rows, row])
    print(table(rows))


if __name__ == "__main__":
    main()
