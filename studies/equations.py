"""Errors on the shipped equations, each trained by its config, beside published figures.

    python studies/equations.py --seeds 0 1 2 --problems wave advection

Each run is ``kanlit fit`` in a process of its own with one thread; seconds are of the processor.
Rows are appended to docs/results/equations.csv, and those that are there are not run again.
Without ``--seeds`` only the table is printed. The page says which seeds chose the settings.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from cavity_reference import centrelines

from kanlit.modules import PDEModule
from kanlit.problems.equations.cavity import GHIA_U, GHIA_V

ROOT = Path(__file__).resolve().parents[1]
FINE = "cavity (fine reference)"
ROWS = ROOT / "docs" / "results" / "equations.csv"


@dataclass(frozen=True)
class Problem:
    """A config and what to compare it with.

    Attributes:
        name: As a row of the table.
        words: The config under ``configs`` and further arguments; none if another problem's run
            gives the row.
        target: The error and the seconds that are aimed at.
        published: Figures of others, with their sources.
    """

    name: str
    words: tuple[str, ...]
    target: str = ""
    published: str = ""


def _helmholtz(a1: int, a2: int, folder: str, target: str, published: str = "") -> Problem:
    words = (f"{folder}/helmholtz.yaml", "--data.a1", str(a1), "--data.a2", str(a2))
    return Problem(f"helmholtz ({a1},{a2})", words, target, published)


PROBLEMS = (
    Problem(
        "burgers",
        ("equations/burgers.yaml",),
        "4e-5 in 180 s",
        "jaxKAN 2.4e-2, PINNacle 1.5e-2; SOAP + PirateNet 4.0e-5 (2502.00604)",
    ),
    Problem(
        "allen_cahn",
        ("equations/allen_cahn.yaml",),
        "1e-4 in 240 s",
        "cKAN 3.2e-4, jaxpi 5.4e-5; KKAN 2.5e-5, SOAP 3.5e-6",
    ),
    Problem("kdv", ("equations/kdv.yaml",), "4e-4 in 600 s", "PirateNet 4.3e-4, SOAP 3.4e-4"),
    Problem(
        "wave",
        ("equations/wave.yaml",),
        "1e-4 in 120 s",
        "PINNacle 9.8e-2, a KAN 0.15; 6.7e-6",
    ),
    Problem(
        "advection",
        ("equations/advection.yaml",),
        "1e-3 in 180 s",
        "float64 PINN 7.2e-3; 5.4e-6",
    ),
    _helmholtz(1, 1, "best", "1e-7 in 60 s"),
    _helmholtz(1, 2, "best", "5e-6 in 60 s"),
    _helmholtz(2, 2, "best", "5e-6 in 60 s"),
    _helmholtz(2, 4, "best", "2e-4 in 60 s"),
    _helmholtz(1, 4, "equations", "1e-5 in 120 s", "jaxKAN 1.0e-3; 2.0e-9 in 540 s on a GPU"),
    _helmholtz(4, 4, "equations", "1e-4 in 120 s"),
    Problem(
        "cavity",
        ("equations/cavity.yaml",),
        "1e-2 in 600 s",
        "PINNacle 3.6e-2, SPIKAN 5.8e-2 (u); 1.1e-4",
    ),
    Problem(FINE, ()),
    Problem(
        "kuramoto_sivashinsky",
        ("equations/kuramoto_sivashinsky.yaml",),
        "any",
        "jaxpi 1.6e-1, SOAP 3.9e-2; 6.5e-4 with 20 windows",
    ),
    *(
        Problem(name, (f"equations/{name}.yaml",))
        for name in ("heat", "sine_gordon", "gray_scott", "poisson", "reaction_diffusion")
    ),
)


def fine_error(checkpoint: Path) -> float:
    """Relative L2 of u and v together at the points of Ghia et al., to the fine reference."""
    module = PDEModule.load_from_checkpoint(checkpoint, map_location="cpu").eval().double()
    points = torch.tensor([(0.5, y) for y, _ in GHIA_U] + [(x, 0.5) for x, _ in GHIA_V]).double()
    with torch.no_grad():
        u, v, _ = module(points).unbind(1)
    found, fine = torch.cat([u[: len(GHIA_U)], v[len(GHIA_U) :]]), torch.from_numpy(centrelines())
    return float(f"{(found - fine).norm() / fine.norm():.4g}")


def run(problem: Problem, seed: int) -> list[dict[str, str | int | float]]:
    """Trains in a process of its own; one row per reference."""
    config, *more = problem.words
    command = [sys.executable, "-m", "kanlit", "fit", "--config", str(ROOT / "configs" / config)]
    command += [*more, "--seed_everything", str(seed), "--trainer.enable_progress_bar", "false"]
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        output = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        seconds = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, 1)
        said = dict(re.findall(r"^([a-z0-9A-Z ]+): (.+)$", output, re.MULTILINE))
        errors = {problem.name: float(said["relative L2"])}
        if problem.name == "cavity":
            errors[FINE] = fine_error(Path(folder) / said["checkpoint"])
    return [
        {"problem": name, "seed": seed, "rel_l2": error, "seconds": seconds}
        for name, error in errors.items()
    ]


def table(rows: pd.DataFrame) -> str:
    """Medians by problem in Markdown."""
    lines = [
        "| problem | relative L2, median | of seeds | seconds | target | published |",
        "|---|---|---|---|---|---|",
    ]
    for problem in PROBLEMS:
        own = rows[rows["problem"] == problem.name].sort_values("seed")
        if len(own):
            each = ", ".join(f"{error:.1e}" for error in own["rel_l2"])
            lines.append(
                f"| {problem.name} | {own['rel_l2'].median():.1e} | {each} | "
                f"{own['seconds'].median():.0f} | {problem.target} | {problem.published} |"
            )
    return "\n".join(lines)


def main() -> None:
    names = [problem.name for problem in PROBLEMS if problem.words]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", nargs="+", type=int, default=[])
    arguments = parser.parse_args()
    columns = ["problem", "seed", "rel_l2", "seconds"]
    rows = pd.read_csv(ROWS) if ROWS.exists() else pd.DataFrame(columns=columns)
    done = set(zip(rows["problem"], rows["seed"], strict=True))
    for problem in PROBLEMS:
        for seed in arguments.seeds:
            if problem.name in arguments.problems and (problem.name, seed) not in done:
                row = pd.DataFrame(run(problem, seed))
                row.to_csv(ROWS, mode="a", header=not ROWS.exists(), index=False)
                rows = pd.concat([rows, row]) if len(rows) else row
    print(table(rows))


if __name__ == "__main__":
    main()
