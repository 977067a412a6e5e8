"""Time of a training step with the compiled kernel and in plain torch.

    python studies/step.py

Forward, backward and Adam on one thread; both take turns in one process. Times are medians of the
processor time over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor

from kanlit import kernel
from kanlit.nn import KAN
from kanlit.problems import Helmholtz

SIZES = [3, 12, 100, 500]


def regression(inputs: int, grid_size: int, points: int = 4000) -> tuple[KAN, Callable[[], Tensor]]:
    """[inputs, 10, 1] and its loss on a smooth function."""
    network = KAN([inputs, 10, 1], grid_size=grid_size)
    x = 2 * torch.rand(points, inputs) - 1
    target = torch.sin(torch.pi * x).sum(1, keepdim=True)
    return network, lambda: (network(x) - target).square().mean()


def helmholtz(grid_size: int) -> tuple[KAN, Callable[[], Tensor]]:
    """[2, 6, 6, 1] with 4096 points of the equation and 256 of the boundary."""
    network, problem = KAN([2, 6, 6, 1], grid_size=grid_size), Helmholtz(conditions="soft")
    x, boundary = 2 * torch.rand(4096, 2) - 1, 2 * torch.rand(256, 2) - 1
    boundary[:, 0] = boundary[:, 0].sign()
    source = problem.source(x)

    def loss() -> Tensor:
        u = network.sweep(x)
        along_x1, along_x2 = u.second.unbind(2)
        residual = problem.residual(u.value, along_x1, along_x2, source)
        return residual.square().mean() + network(boundary).square().mean()

    return network, loss


CASES: dict[str, Callable[[int], tuple[KAN, Callable[[], Tensor]]]] = {
    "f2 [1,10,1], 4000 points": lambda grid_size: regression(1, grid_size),
    "f1 [2,10,1], 4000 points": lambda grid_size: regression(2, grid_size),
    "Helmholtz [2,6,6,1], 4096 + 256 points": helmholtz,
}


def milliseconds(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer, steps: int) -> float:
    start = time.process_time()
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return 1e3 * (time.process_time() - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=30, help="per round")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if not kernel.kernel_available():
        raise SystemExit("the kernel is not built or switched off: see kanlit/kernel/__init__.py")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| case | G | kernel, ms | torch, ms | ratio |\n|---|---|---|---|---|")
    for name, case in CASES.items():
        for grid_size in SIZES:
            network, loss = case(grid_size)
            optimizer = torch.optim.Adam(network.parameters())
            kernels, torches = [], []
            milliseconds(loss, optimizer, 3)
            for _ in range(options.rounds):
                kernels.append(milliseconds(loss, optimizer, options.steps))
                with mock.patch("kanlit.kernel.supports", return_value=False):
                    torches.append(milliseconds(loss, optimizer, options.steps))
            ours, plain = statistics.median(kernels), statistics.median(torches)
            print(f"| {name} | {grid_size} | {ours:.2f} | {plain:.2f} | {plain / ours:.1f} |")


if __name__ == "__main__":
    main()
