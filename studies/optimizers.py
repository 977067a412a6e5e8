"""Compares Levenberg-Marquardt with other optimizers: error against seconds.

    pip install torch-levenberg-marquardt    # optional
    python studies/optimizers.py --out optimizers.png

The paper's networks and training data, in float64 on one thread, with a grid of G = 12 that is
placed once before training and stays fixed: only the optimizer differs. Each run is a separate
process. Seconds are processor seconds of training; errors are relative L2 errors on the test grid.
torch-levenberg-marquardt uses vmap, which the compiled kernel does not support, so its network
runs in plain torch.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from kanlit.adaptation import InputDensity, adapt_grids
from kanlit.data import SyntheticData
from kanlit.nn import KAN
from kanlit.optim import LevenbergMarquardt, Residual

Step = Callable[[], object]
Point = tuple[float, float]  # seconds, error
LEVELS = (1e-2, 1e-3, 1e-4, 1e-5)


def ours(network: KAN, x: Tensor, y: Tensor) -> Step:
    optimizer = LevenbergMarquardt(network.parameters(), relative_ridge=0.01)  # as in recipe best
    return lambda: optimizer.step(lambda: {"data": Residual(network(x) - y)})


def other(network: KAN, x: Tensor, y: Tensor) -> Step:
    from torch_levenberg_marquardt.loss import MSELoss
    from torch_levenberg_marquardt.training import LevenbergMarquardtModule

    module = LevenbergMarquardtModule(
        model=network,
        loss_fn=MSELoss(),
        learning_rate=1.0,
        attempts_per_step=10,
        solve_method="cholesky",
    )
    return lambda: module.training_step(x, y)


def by_gradient(make: Callable[[KAN], torch.optim.Optimizer]) -> Callable[..., Step]:
    def start(network: KAN, x: Tensor, y: Tensor) -> Step:
        optimizer = make(network)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = (network(x) - y).square().mean()
            loss.backward()
            return loss

        return lambda: optimizer.step(closure)  # type: ignore[arg-type]

    return start


OPTIMIZERS: dict[str, Callable[..., Step]] = {
    "LevenbergMarquardt": ours,
    "torch-levenberg-marquardt": other,
    "L-BFGS": by_gradient(
        lambda net: torch.optim.LBFGS(
            net.parameters(), history_size=50, line_search_fn="strong_wolfe"
        )
    ),
    "Adam": by_gradient(lambda net: torch.optim.Adam(net.parameters(), lr=1e-2)),
}


def trained(task: str, name: str, seed: int, seconds: float) -> list[Point]:
    """Errors during training with the seconds of training so far."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    data = SyntheticData(task, standardize=False)
    data.setup("fit")
    data.setup("test")
    (batch,), (test,) = data.train_dataloader(), list(data.test_dataloader())[:1]
    x, y = (tensor.double() for tensor in batch)
    test_x, test_y = (tensor.double()[:100_000] for tensor in test)
    torch.manual_seed(seed)
    network = KAN([data.in_features, 10, 1], grid_size=3)
    adapt_grids(network, x, InputDensity(), 12)
    step = OPTIMIZERS[name](network, x, y)

    def error() -> float:
        with torch.no_grad():
            return float((network(test_x) - test_y).norm() / test_y.norm())

    spent, seen, points = 0.0, 0.0, [(0.0, error())]
    while spent < seconds:
        start = time.process_time()
        step()
        spent += time.process_time() - start
        if spent > 1.05 * seen:  # spacing that is visible on a logarithmic axis
            seen = spent
            points.append((spent, error()))
    return points


def in_its_own_process(task: str, name: str, seed: int, seconds: float) -> list[Point]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if name == "torch-levenberg-marquardt":
        environment["KANLIT_KERNEL"] = "0"
    command = [sys.executable, __file__, "--one", task, name, str(seed), str(seconds)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [(float(s), float(e)) for s, e in json.loads(done.stdout.splitlines()[-1])]


def first_below(points: Sequence[Point], level: float) -> float:
    """Seconds to an error; infinite if it was not reached."""
    return next((seconds for seconds, error in points if error <= level), math.inf)


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def draw(runs: dict[tuple[str, str], list[list[Point]]], path: Path) -> None:
    """One panel per task: the lowest error so far against seconds, one line per seed."""
    from matplotlib.lines import Line2D

    from kanlit.plotting.style import color, head, tidy

    tasks = list(dict.fromkeys(task for task, _ in runs))
    names = [name for name in OPTIMIZERS if any(name == other for _, other in runs)]
    handles = [Line2D([], [], color=color(i), lw=1.6, label=n) for i, n in enumerate(names)]
    page = head(3.2, "Relative L2 error on the test grid against seconds", handles)
    for axes, task in zip(page.row(len(tasks), 3.2, below=0.5), tasks, strict=True):
        for i, name in enumerate(names):
            for points in runs.get((task, name), []):
                seconds = [s for s, _ in points[1:]]
                errors = [min(e for _, e in points[: n + 2]) for n in range(len(seconds))]
                axes.loglog(seconds, errors, color=color(i), lw=1.3, alpha=0.8)
        axes.set_xlabel(f"{task}: seconds of training", fontsize=9)
        axes.grid(alpha=0.25, lw=0.5)
        tidy(axes, 8)
    page.figure.savefig(path)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        task, name, seed, seconds = sys.argv[2:]
        print(json.dumps(trained(task, name, int(seed), float(seconds))))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["f2", "f5", "f9"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[101, 102, 103])
    parser.add_argument("--seconds", type=float, default=15.0, help="seconds of training per run")
    parser.add_argument("--out", type=Path, help="file of the figure: PNG, SVG or PDF")
    options = parser.parse_args()
    runs: dict[tuple[str, str], list[list[Point]]] = {}
    columns = [f"s to {level:g}" for level in LEVELS]
    print(f"| task | optimizer | {' | '.join(columns)} | lowest error |")
    print("|---" * (len(columns) + 3) + "|", flush=True)
    for task in options.tasks:
        for name in OPTIMIZERS:
            if name == "torch-levenberg-marquardt" and not find_spec("torch_levenberg_marquardt"):
                print(f"| {task} | {name} | {'| ' * len(columns)}| not installed |", flush=True)
                continue
            found = [
                in_its_own_process(task, name, seed, options.seconds) for seed in options.seeds
            ]
            runs[task, name] = found
            times = [median([first_below(points, level) for points in found]) for level in LEVELS]
            words = ["-" if math.isinf(seconds) else f"{seconds:.2f}" for seconds in times]
            lowest = median([min(error for _, error in points) for points in found])
            print(f"| {task} | {name} | {' | '.join(words)} | {lowest:.1e} |", flush=True)
    if options.out is not None:
        draw(runs, options.out)


if __name__ == "__main__":
    main()
