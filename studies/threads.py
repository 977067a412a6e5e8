"""Time of a training step with one thread and with two, and equality of the results.

    python studies/threads.py
    KANLIT_KERNEL=0 python studies/threads.py
    python studies/threads.py --busy 2

A step is forward, backward and Adam, or one Levenberg-Marquardt step. The numbers of threads take
turns in one process. With the compiled kernel, torch's own operations have one thread, as in a run
of kanlit. Times are the lowest wall times over the rounds, so measure on an idle machine.
``--busy`` starts this many busy processes; times are then medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from kanlit import kernel
from kanlit.kernel.threads import torch_on_one_thread
from kanlit.nn import KAN
from kanlit.optim import LevenbergMarquardt, Residual
from kanlit.problems import Helmholtz

Step = Callable[[], Tensor]  # runs one step; returns the parameters


def adam(network: KAN, loss: Callable[[], Tensor]) -> Step:
    optimizer = torch.optim.Adam(network.parameters())

    def step() -> Tensor:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        return torch.nn.utils.parameters_to_vector(network.parameters()).detach()

    return step


def regression(widths: list[int], points: int, grid_size: int) -> Step:
    network = KAN(widths, grid_size=grid_size)
    x, target = 2 * torch.rand(points, widths[0]) - 1, torch.randn(points, widths[-1])
    return adam(network, lambda: F.mse_loss(network(x), target))


def sweep(widths: list[int], points: int, grid_size: int) -> Step:
    """The residual of a Helmholtz equation."""
    network, problem = KAN(widths, grid_size=grid_size), Helmholtz(conditions="soft")
    x = 2 * torch.rand(points, 2) - 1
    source = problem.source(x)

    def loss() -> Tensor:
        u = network.sweep(x)
        along_x1, along_x2 = u.second.unbind(2)
        return problem.residual(u.value, along_x1, along_x2, source).square().mean()

    return adam(network, loss)


def levenberg_marquardt(widths: list[int], points: int, grid_size: int) -> Step:
    network = KAN(widths, grid_size=grid_size, dtype=torch.float64)
    x = 2 * torch.rand(points, widths[0], dtype=torch.float64) - 1
    target = torch.sin(torch.pi * x).sum(1, keepdim=True)
    optimizer = LevenbergMarquardt(network.parameters())

    def step() -> Tensor:
        optimizer.step(lambda: {"data": Residual(network(x) - target)})
        return torch.nn.utils.parameters_to_vector(network.parameters()).detach()

    return step


CASES: dict[str, tuple[Callable[[list[int], int, int], Step], list[int], int, int]] = {
    "Adam [2,10,1], 4,000 points, G = 3": (regression, [2, 10, 1], 4000, 3),
    "Adam [3,32,32,1], 8,192 points, G = 20": (regression, [3, 32, 32, 1], 8192, 20),
    "Adam [64,64,64], 8,192 points, G = 3": (regression, [64, 64, 64], 8192, 3),
    "sweep [2,6,6,1], 4,096 points, G = 12": (sweep, [2, 6, 6, 1], 4096, 12),
    "Levenberg-Marquardt [2,10,1], 4,000 points, G = 12": (
        levenberg_marquardt,
        [2, 10, 1],
        4000,
        12,
    ),
}


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Starts this many processes that compute in an endless loop."""
    code = f"import os\nwhile os.getppid() == {os.getpid()}: pass"  # ends with this process
    beside = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in beside:
            process.kill()
            process.wait()


def measured(steps: dict[int, Step], seconds: float) -> tuple[dict[int, list[float]], list[Tensor]]:
    """Seconds per step for each number of threads, and the final parameters."""
    times: dict[int, list[float]] = {threads: [] for threads in steps}
    last: dict[int, Tensor] = {}
    end = time.perf_counter() + seconds
    while not last or time.perf_counter() < end:
        for threads, step in steps.items():
            torch.set_num_threads(threads)
            with torch_on_one_thread() if kernel.kernel_available() else nullcontext():
                step()  # wakes the threads
                for _ in range(3):
                    start = time.perf_counter()
                    last[threads] = step()
                    times[threads].append(time.perf_counter() - start)
    return times, list(last.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds per case")
    parser.add_argument("--busy", type=int, default=0, help="number of busy processes")
    parser.add_argument("--only", default="", help="only cases whose name contains this text")
    options = parser.parse_args()
    path = "compiled kernel" if kernel.kernel_available() else "plain torch"
    names = " | ".join(f"{threads} threads, ms" for threads in options.threads)
    print(f"| {path} | {names} | speedup | equal |")
    print("|---" * (len(options.threads) + 3) + "|")
    for name, (make, widths, points, grid_size) in CASES.items():
        if options.only not in name:
            continue
        steps = {}
        for threads in options.threads:  # the same network and number of steps for each
            torch.manual_seed(0)
            steps[threads] = make(widths, points, grid_size)
        with busy(options.busy):
            found, (first, *others) = measured(steps, options.seconds)
        equal = "yes" if all(torch.equal(first, other) for other in others) else "no"
        typical = statistics.median if options.busy else min
        times = [typical(found[threads]) for threads in options.threads]
        cells = " | ".join(f"{1e3 * seconds:.2f}" for seconds in times)
        print(f"| {name} | {cells} | {times[0] / min(times[1:]):.2f} | {equal} |", flush=True)


if __name__ == "__main__":
    main()
