"""Coefficients found from noisy observations, with their intervals: docs/results/inverse.md.

Each draw has its own points, noise and weights of the network. The settings were chosen on the
seeds from 1000 on.

    python studies/inverse.py heat --draws 100
    python studies/inverse.py reaction --draws 100
    python studies/inverse.py burgers --draws 3
"""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from kanlit import Equation, EquationData, LevenbergMarquardt, PDEModule, Unknown, dirichlet
from kanlit.callbacks import CoefficientErrors, GridAdaptationCallback
from kanlit.data import ResidualDraw
from kanlit.problems import Burgers, Condition, uniform_points


class Rod(Equation):
    """``u_t = D u_xx`` on [0, 1], with D = 0.1 in truth."""

    coordinates = ("x", "t")
    bounds = ((0.0, 1.0), (0.0, 1.0))
    diffusivity = Unknown(1.0, low=0.0)

    def residual(self, u_t: Tensor, u_xx: Tensor, diffusivity: Tensor) -> Tensor:
        return u_t - diffusivity * u_xx

    def conditions(self) -> list[Condition]:
        start = dirichlet("initial", {"t": "low"}, lambda p: torch.sin(math.pi * p[:, :1]))
        return [dirichlet("walls", {"x": "both"}), start]

    def solution(self, points: Tensor) -> Tensor:
        x, t = points.split(1, 1)
        return torch.exp(-0.1 * math.pi**2 * t) * torch.sin(math.pi * x)


class Growing(Rod):
    """``u_t = D u_xx + r u``, with D = 0.05 and r = 0.5 in truth, from two waves."""

    rate = Unknown(0.0)

    def residual(  # type: ignore[override]
        self, u_t: Tensor, u_xx: Tensor, u: Tensor, diffusivity: Tensor, rate: Tensor
    ) -> Tensor:
        return u_t - diffusivity * u_xx - rate * u

    def conditions(self) -> list[Condition]:
        start = dirichlet("initial", {"t": "low"}, self.solution)
        return [dirichlet("walls", {"x": "both"}), start]

    def solution(self, points: Tensor) -> Tensor:
        x, t = points.split(1, 1)
        waves = [
            a * torch.exp((0.5 - 0.05 * (k * math.pi) ** 2) * t) * torch.sin(k * math.pi * x)
            for k, a in ((1, 1.0), (2, 0.5))
        ]
        return waves[0] + waves[1]


class Front(Equation):
    """Burgers' equation with ν = 0.01/π in truth."""

    coordinates = ("x", "t")
    bounds = ((-1.0, 1.0), (0.0, 1.0))
    viscosity = Unknown(0.02, low=0.0)

    def residual(
        self, u: Tensor, u_t: Tensor, u_x: Tensor, u_xx: Tensor, viscosity: Tensor
    ) -> Tensor:
        return u_t + u * u_x - viscosity * u_xx

    def conditions(self) -> list[Condition]:
        start = dirichlet("initial", {"t": "low"}, lambda p: -torch.sin(math.pi * p[:, :1]))
        return [dirichlet("walls", {"x": "both"}), start]

    def solution(self, points: Tensor) -> Tensor:
        return Burgers(conditions="soft").solution(points)


@dataclass(frozen=True)
class Task:
    """An equation with unknown coefficients, and what is measured of its solution."""

    equation: Any
    truth: dict[str, float]
    rows: int
    noise: float  # standard deviation
    epochs: int
    model: dict[str, Any]
    data: dict[str, Any]
    schedule: dict[int, int] = field(default_factory=dict)  # G by epoch; empty for 3 throughout


SMALL: dict[str, Any] = {"hidden": [5], "boundary_weight": 10.0}
GRID = {"points_per_axis": 20, "condition_points": 20}
DRAWN = {"sampling": "residual", "points": 2500, "condition_points": 200}
TASKS = {
    "heat": Task(Rod(), {"diffusivity": 0.1}, 100, 0.05, 30, SMALL, GRID),
    "reaction": Task(Growing(), {"diffusivity": 0.05, "rate": 0.5}, 100, 0.05, 30, SMALL, GRID),
    "burgers": Task(
        Front(),
        {"viscosity": 0.01 / math.pi},
        200,
        0.01,
        150,
        {"hidden": [5, 5], "boundary_weight": 100.0},
        {**DRAWN, "redraw": ResidualDraw(pool=20000, every=5)},
        {0: 6, 30: 8, 60: 10, 90: 12, 120: 14},
    ),
}


def observations(task: Task, seed: int, folder: str) -> str:
    """A table of noisy values at uniform points."""
    points = uniform_points(task.equation.bounds, task.rows, torch.Generator().manual_seed(seed))
    noise = np.random.default_rng(seed).normal(scale=task.noise, size=task.rows)
    table = pd.DataFrame(points.numpy(), columns=list(task.equation.coordinates))
    path = Path(folder) / "observations.csv"
    table.assign(u=task.equation.solution(points)[:, 0].numpy() + noise).to_csv(path, index=False)
    return str(path)


def fitted(task: Task, seed: int, weight: float) -> PDEModule:
    """The module of a draw."""
    torch.manual_seed(seed)
    module = PDEModule(
        2,
        1,
        spline_order=5,
        grid_size=task.schedule.get(0, 3),
        observation_weight=weight,
        optimizer=LevenbergMarquardt,
        **task.model,
    )
    callbacks: list[Callback] = [CoefficientErrors(every=task.epochs)]
    if task.schedule:
        callbacks.append(GridAdaptationCallback(schedule=task.schedule, optimizer_state="keep"))
    trainer = Trainer(
        max_epochs=task.epochs,
        accelerator="cpu",
        precision="64-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        check_val_every_n_epoch=task.epochs,
        callbacks=callbacks,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = observations(task, seed, folder)
        trainer.fit(module, EquationData(task.equation, observations=path, seed=seed, **task.data))
    return module


def main(words: Sequence[str] | None = None) -> None:
    """Prints a line per draw, and the coverage of the intervals over all draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--weight", type=float, default=1.0, help="model.observation_weight")
    options = parser.parse_args(words)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    task = TASKS[options.task]
    found: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in task.truth}
    start = time.process_time()
    for seed in range(options.first, options.first + options.draws):
        module = fitted(task, seed, options.weight)
        assert module.coefficients is not None
        for name, each in module.coefficients.estimates().items():
            low, high = each.interval or (math.nan, math.nan)
            covers = low <= task.truth[name] <= high
            found[name].append((each.value, each.error or math.nan, covers))
            print(
                f"{seed}: {name} {each.value:.6g} ± {each.error:.2g}, {low:.6g} to {high:.6g}"
                f"{'' if covers else ', misses the truth'}",
                flush=True,
            )
    for name, rows in found.items():
        values, errors, covered = (np.array(column) for column in zip(*rows, strict=True))
        print(
            f"{name} {task.truth[name]:.6g}, {len(rows)} draws: mean {values.mean():.6g}, standard "
            f"deviation {values.std(ddof=1) if len(rows) > 1 else math.nan:.2g}, mean standard "
            f"error {errors.mean():.2g}, intervals with the truth {covered.mean():.1%}, largest "
            f"relative error {abs(values / task.truth[name] - 1).max():.2%}"
        )
    print(f"processor seconds per draw: {(time.process_time() - start) / options.draws:.1f}")


if __name__ == "__main__":
    main()
