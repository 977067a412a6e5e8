"""Coefficients and fields found from noisy observations: docs/results/inverse.md.

Each draw has its own points, noise and weights of the network. The settings were chosen on the
seeds from 1000 on.

    python studies/inverse.py heat --draws 100
    python studies/inverse.py reaction --draws 100
    python studies/inverse.py burgers --draws 3
    python studies/inverse.py poisson_field --draws 3 --weight 10 0.1 --epochs 30
    python studies/inverse.py poisson_field --draws 3 --noise 0 --weight 1000 --epochs 300
    python studies/inverse.py heat_field --draws 3 --weight 100 1
    python studies/inverse.py heat_field_exact --draws 3 --weight 1000
"""

from __future__ import annotations

import argparse
import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from quiet_trainer import quiet_trainer
from scipy.optimize import least_squares
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
        return self.at(points, diffusivity=0.1)

    def at(self, points: Tensor, diffusivity: float) -> Tensor:
        """The solution for a value of the coefficient."""
        x, t = points.split(1, 1)
        return torch.exp(-diffusivity * math.pi**2 * t) * torch.sin(math.pi * x)


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
        return self.at(points, diffusivity=0.05, rate=0.5)

    def at(  # type: ignore[override]
        self, points: Tensor, diffusivity: float, rate: float
    ) -> Tensor:
        x, t = points.split(1, 1)
        waves = [
            a
            * torch.exp((rate - diffusivity * (k * math.pi) ** 2) * t)
            * torch.sin(k * math.pi * x)
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
        return self.at(points, viscosity=0.01 / math.pi)

    def at(self, points: Tensor, viscosity: float) -> Tensor:
        return Burgers(viscosity).solution(points)


class PoissonField(Equation):
    """PINNacle's PInv: ``-∇(a∇u) = f``, with a known on the boundary only."""

    coordinates = ("x", "y")
    unknowns = ("u", "a")
    bounds = ((0.0, 1.0), (0.0, 1.0))

    def ansatz(self, u: Any, a: Any) -> dict[str, Any]:  # a is positive
        return {"a": torch.exp(a)}

    def residual(
        self,
        u_x: Tensor,
        u_y: Tensor,
        u_xx: Tensor,
        u_yy: Tensor,
        a: Tensor,
        a_x: Tensor,
        a_y: Tensor,
        source: Tensor,
    ) -> Tensor:
        return a_x * u_x + a_y * u_y + a * (u_xx + u_yy) + source

    def source(self, points: Tensor) -> Tensor:
        (x, y), (u, a) = points.split(1, 1), self.solution(points).split(1, 1)
        sx, sy = torch.sin(math.pi * x), torch.sin(math.pi * y)
        u_x, u_y = math.pi * torch.cos(math.pi * x) * sy, math.pi * sx * torch.cos(math.pi * y)
        a_x, a_y = (2 - 4 * x) * a**2, (2 - 4 * y) * a**2
        return -(a_x * u_x + a_y * u_y - 2 * math.pi**2 * a * u)

    def conditions(self) -> list[Condition]:
        return [dirichlet("known", {"x": "both", "y": "both"}, self._a, "a")]

    def _a(self, points: Tensor) -> Tensor:
        return self.solution(points)[:, 1:]

    def solution(self, points: Tensor) -> Tensor:
        x, y = points.split(1, 1)
        a = 1 / (1 + x**2 + y**2 + (x - 1) ** 2 + (y - 1) ** 2)
        return torch.cat([torch.sin(math.pi * x) * torch.sin(math.pi * y), a], 1)


class HeatField(Equation):
    """PINNacle's HInv: ``u_t = ∇(a∇u) + f``, with a(x, y) known on the boundary only."""

    coordinates = ("x", "y", "t")
    unknowns = ("u", "a")
    bounds = ((-1.0, 1.0), (-1.0, 1.0), (0.0, 1.0))

    def ansatz(self, u: Any, a: Any) -> dict[str, Any]:  # a is positive
        return {"a": torch.exp(a)}

    def residual(
        self,
        u_t: Tensor,
        u_x: Tensor,
        u_y: Tensor,
        u_xx: Tensor,
        u_yy: Tensor,
        a: Tensor,
        a_x: Tensor,
        a_y: Tensor,
        a_t: Tensor,
        source: Tensor,
    ) -> dict[str, Tensor]:
        flux = a_x * u_x + a_y * u_y + a * (u_xx + u_yy)
        return {"heat": u_t - flux - source, "steady": 10 * a_t}

    def source(self, points: Tensor) -> Tensor:
        (x, y, t), u = points.split(1, 1), self.solution(points)[:, :1]
        sx, cx = torch.sin(math.pi * x), torch.cos(math.pi * x)
        sy, cy = torch.sin(math.pi * y), torch.cos(math.pi * y)
        squares = math.pi**2 * torch.exp(-t) * ((cx * sy) ** 2 + (sx * cy) ** 2)
        return -u - squares + 2 * math.pi**2 * (2 + sx * sy) * u

    def conditions(self) -> list[Condition]:
        return [dirichlet("known", {"x": "both", "y": "both"}, 2.0, "a")]

    def solution(self, points: Tensor) -> Tensor:
        x, y, t = points.split(1, 1)
        wave = torch.sin(math.pi * x) * torch.sin(math.pi * y)
        return torch.cat([torch.exp(-t) * wave, 2 + wave], 1)


@dataclass(frozen=True)
class Task:
    """An equation with unknown coefficients or fields, and what is measured of its solution."""

    equation: Any
    truth: dict[str, float]
    rows: int
    noise: float  # standard deviation
    epochs: int
    model: dict[str, Any]
    data: dict[str, Any]
    schedule: dict[int, int] = field(default_factory=dict)  # G by epoch; empty for 3 throughout
    margin: float = 0.01  # of the grids


SMALL: dict[str, Any] = {"hidden": [5], "boundary_weight": 10.0}
GRID = {"points_per_axis": 20, "condition_points": 20}
FREED = {10: 3, 15: 3, 20: 3}
FIELD: dict[str, Any] = {"hidden": [5], "boundary_weight": 10.0}
EVEN = {"sampling": "sobol", "points": 2000, "condition_points": 100}
DRAWN = {"sampling": "residual", "points": 2500, "condition_points": 200}
TASKS = {
    "heat": Task(Rod(), {"diffusivity": 0.1}, 100, 0.05, 30, SMALL, GRID, FREED, 0.25),
    "reaction": Task(
        Growing(), {"diffusivity": 0.05, "rate": 0.5}, 100, 0.05, 30, SMALL, GRID, FREED, 0.25
    ),
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
    "poisson_field": Task(
        PoissonField(), {}, 2500, 0.1, 60, {**FIELD, "boundary_weight": 100.0}, EVEN
    ),
    "heat_field": Task(
        HeatField(),
        {},
        2500,
        0.1,
        60,
        {**FIELD, "hidden": [12]},
        EVEN,
        {0: 5, 10: 5, 20: 5, 30: 5, 40: 8, 50: 8},
        0.25,
    ),
    "heat_field_exact": Task(
        HeatField(),
        {},
        2500,
        0.0,
        400,
        {"hidden": [12], "boundary_weight": 100.0},
        {**EVEN, "points": 3000},
        {0: 5, 10: 5, 20: 5, 30: 8, 40: 8, 50: 12, 65: 12, 80: 16}
        | dict.fromkeys((100, 130, 160, 200, 240, 280, 320), 16),
        0.25,
    ),
}


def measured(task: Task, seed: int) -> tuple[Tensor, NDArray[np.float64]]:
    """Uniform points ``(n, d)``, and noisy values there ``(n,)``."""
    points = uniform_points(task.equation.bounds, task.rows, torch.Generator().manual_seed(seed))
    noise = np.random.default_rng(seed).normal(scale=task.noise, size=task.rows)
    return points, task.equation.solution(points)[:, 0].numpy() + noise


def observations(task: Task, seed: int, folder: str) -> str:
    """A table of these."""
    points, values = measured(task, seed)
    table = pd.DataFrame(points.numpy(), columns=list(task.equation.coordinates))
    path = Path(folder) / "observations.csv"
    table.assign(u=values).to_csv(path, index=False)
    return str(path)


def exact_fit(task: Task, seed: int) -> dict[str, tuple[float, float]]:
    """Estimates by the exact solution, and the least standard errors (Cramér and Rao)."""
    points, values = measured(task, seed)
    start = np.array(list(task.truth.values()))
    fit = least_squares(
        lambda c: task.equation.at(points, **dict(zip(task.truth, c, strict=True)))[:, 0] - values,
        start,
        x_scale=start,
    )
    slopes = []
    for name, value in task.truth.items():
        step = 1e-4 * value
        ends = (task.equation.at(points, **task.truth | {name: value + s}) for s in (step, -step))
        high, low = ends
        slopes.append((high - low)[:, 0] / (2 * step))
    jacobian = torch.stack(slopes, 1)
    covariance = task.noise**2 * torch.linalg.inv(jacobian.T @ jacobian)
    errors = covariance.diagonal().sqrt().tolist()
    return dict(zip(task.truth, zip(fit.x.tolist(), errors, strict=True), strict=True))


def fitted(task: Task, seed: int, weights: Sequence[float]) -> PDEModule:
    """The module of a draw, trained with each weight of the observations in turn."""
    torch.manual_seed(seed)
    module = PDEModule(
        len(task.equation.coordinates),
        len(task.equation.unknowns),
        spline_order=5,
        grid_size=task.schedule.get(0, 3),
        optimizer=LevenbergMarquardt,
        **task.model,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = observations(task, seed, folder)
        data = EquationData(task.equation, observations=path, seed=seed, **task.data)
        for weight in weights:
            module.observation_weight = weight
            trainer_of(task).fit(module, data)
    return module


def trainer_of(task: Task) -> Trainer:
    """A trainer that prints nothing."""
    callbacks: list[Callback] = [CoefficientErrors(every=task.epochs)] if task.truth else []
    if task.schedule:
        callbacks.append(
            GridAdaptationCallback(
                schedule=task.schedule, optimizer_state="keep", margin=task.margin
            )
        )
    return quiet_trainer(task.epochs, task.epochs, callbacks)


def field_errors(module: PDEModule, equation: Any) -> dict[str, float]:
    """Relative L2 error of each unknown at 20,000 uniform points."""
    points = uniform_points(equation.bounds, 20000, torch.Generator().manual_seed(12345))
    known = equation.solution(points)
    with torch.no_grad():
        errors = (module(points) - known).norm(dim=0) / known.norm(dim=0)
    return dict(zip(equation.unknowns, errors.tolist(), strict=True))


def main(words: Sequence[str] | None = None) -> None:
    """Prints a line per draw, and the coverage of the intervals over all draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--noise", type=float, help="standard deviation; that of the task if unset")
    parser.add_argument(
        "--weight",
        type=float,
        nargs="+",
        default=[1.0],
        help="model.observation_weight, in turn",
    )
    parser.add_argument("--epochs", type=int, help="those of the task if unset")
    options = parser.parse_args(words)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    task = TASKS[options.task]
    if options.noise is not None:
        task = replace(task, noise=options.noise)
    if options.epochs is not None:
        task = replace(task, epochs=options.epochs)
    fields: dict[str, list[float]] = {name: [] for name in task.equation.unknowns}
    found: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in task.truth}
    noted = 0  # draws whose summary says that the observations are not fitted
    start = time.process_time()
    for seed in range(options.first, options.first + options.draws):
        module = fitted(task, seed, options.weight)
        if module.coefficients is None:
            errors_of_fields = field_errors(module, task.equation)
            print(f"{seed}: {errors_of_fields}", flush=True)
            for name, error in errors_of_fields.items():
                fields[name].append(error)
            continue
        exact = exact_fit(task, seed)
        noted += bool(module.coefficients.note)
        for name, each in module.coefficients.estimates().items():
            low, high = each.interval or (math.nan, math.nan)
            covers = low <= task.truth[name] <= high
            found[name].append((each.value, each.error or math.nan, covers))
            print(
                f"{seed}: {name} {each.value:.6g} ± {each.error:.2g}, {low:.6g} to {high:.6g}"
                f"{'' if covers else ', misses the truth'}; "
                f"by the exact solution {exact[name][0]:.6g} ± {exact[name][1]:.2g}",
                flush=True,
            )
    for name, each_error in fields.items():
        if each_error:
            print(f"{name}: median relative L2 {statistics.median(each_error):.2e}")
    for name, rows in found.items():
        values, errors, covered = (np.array(column) for column in zip(*rows, strict=True))
        print(
            f"{name} {task.truth[name]:.6g}, {len(rows)} draws: mean {values.mean():.6g}, standard "
            f"deviation {values.std(ddof=1) if len(rows) > 1 else math.nan:.2g}, mean standard "
            f"error {errors.mean():.2g}, intervals with the truth {covered.mean():.1%}, largest "
            f"relative error {abs(values / task.truth[name] - 1).max():.2%}"
        )
    print(f"draws with a note: {noted}")
    print(f"processor seconds per draw: {(time.process_time() - start) / options.draws:.1f}")


if __name__ == "__main__":
    main()
