"""Burgers' equation for a range of viscosities at once: docs/results/parametric.md.

The settings were chosen on the seeds from 1000 on.

    python studies/parametric.py --first 0 --draws 3
"""

from __future__ import annotations

import argparse
import logging
import math
import statistics
import time
import warnings
from collections.abc import Sequence
from typing import ClassVar

import torch
from quiet_trainer import quiet_trainer
from torch import Tensor

from kanlit import Equation, EquationData, LevenbergMarquardt, PDEModule, dirichlet
from kanlit.callbacks import GridAdaptationCallback, KeepBest
from kanlit.data import ResidualDraw
from kanlit.problems import Burgers, Condition
from kanlit.problems.functions.target import grid_points

VALUES = [0.012, 0.018, 0.025, 0.033, 0.045]  # times 1/π


class Fronts(Equation):
    """Burgers' equation with viscosities from 0.01/π to 0.05/π."""

    coordinates = ("x", "t")
    bounds = ((-1.0, 1.0), (0.0, 1.0))
    parameters: ClassVar = {"viscosity": (0.01 / math.pi, 0.05 / math.pi)}

    def residual(
        self, u: Tensor, u_t: Tensor, u_x: Tensor, u_xx: Tensor, viscosity: Tensor
    ) -> Tensor:
        return u_t + u * u_x - viscosity * u_xx

    def conditions(self) -> list[Condition]:
        start = dirichlet("initial", {"t": "low"}, lambda p: -torch.sin(math.pi * p[:, :1]))
        return [dirichlet("walls", {"x": "both"}), start]


def fitted(seed: int) -> PDEModule:
    torch.manual_seed(seed)
    schedule = {0: 6, 30: 8, 60: 10, 90: 12}
    module = PDEModule(
        3,
        1,
        hidden=[6, 6],
        spline_order=5,
        grid_size=6,
        boundary_weight=100.0,
        optimizer=lambda p: LevenbergMarquardt(p, relative_ridge=1e-3),
    )
    trainer = quiet_trainer(
        150, 10, [GridAdaptationCallback(schedule=schedule, optimizer_state="keep"), KeepBest()]
    )
    data = EquationData(
        Fronts(),
        sampling="residual",
        points=4000,
        condition_points=300,
        redraw=ResidualDraw(pool=20000, every=5),
        seed=seed,
    )
    trainer.fit(module, data)
    return module.double()


def error_at(module: PDEModule, viscosity: float) -> float:
    """Relative L2 error on a grid of 101 x 101 points, at one viscosity."""
    x = grid_points(Fronts.bounds, 101)
    known = Burgers(viscosity=viscosity, conditions="soft").solution(x)
    with torch.no_grad():
        found = module(torch.cat([x, torch.full((len(x), 1), viscosity).double()], 1))
    return float((found - known).norm() / known.norm())


def main(words: Sequence[str] | None = None) -> None:
    """Prints the relative L2 error at each viscosity and the seconds of each draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    options = parser.parse_args(words)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    rows = []
    for seed in range(options.first, options.first + options.draws):
        start = time.process_time()
        module = fitted(seed)
        seconds = time.process_time() - start
        rows.append([error_at(module, value / math.pi) for value in VALUES])
        listed = ", ".join(
            f"{value:g}: {error:.1e}" for value, error in zip(VALUES, rows[-1], strict=True)
        )
        print(f"{seed}: {listed}, {seconds:.0f} s", flush=True)
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    print("median", ", ".join(f"{m:.1e}" for m in medians))


if __name__ == "__main__":
    main()
