"""Time of a PDE residual and its gradient, by a sweep and by nested autograd.

    python studies/residual.py

Computes the Helmholtz residual u_x1x1 + u_x2x2 + k²u - q of a network [2, 6, 6, 1], its mean
square and the gradient with respect to the parameters. Nested autograd differentiates the forward
pass twice with respect to the points, with create_graph, and once with respect to the parameters.
A sweep propagates derivatives forward and needs one backward pass. Both run with the compiled
kernel and in plain torch, on one thread, in turn in one process. Times are medians of the
processor time over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from unittest import mock

import torch
from torch import Tensor

from kanlit import kernel
from kanlit.nn import KAN
from kanlit.problems import BoundaryValueProblem, Helmholtz

Gradients = tuple[Tensor, ...]


def by_sweep(network: KAN, problem: BoundaryValueProblem, batch: dict[str, Tensor]) -> Gradients:
    residual = problem.residuals(network, batch)["pde"]
    return torch.autograd.grad(residual.square().mean(), list(network.parameters()))


def by_autograd(network: KAN, equation: Helmholtz, batch: dict[str, Tensor]) -> Gradients:
    x = batch["collocation"].clone().requires_grad_()
    u = network(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    second = [
        torch.autograd.grad(slope[:, d].sum(), x, create_graph=True)[0][:, d : d + 1]
        for d in range(2)
    ]
    residual = equation.residual(u, second[0], second[1], batch["source"])
    return torch.autograd.grad(residual.square().mean(), list(network.parameters()))


def milliseconds(gradients: Callable[[], Gradients], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        gradients()
    return 1e3 * (time.process_time() - start) / repeats


def kernel_off() -> AbstractContextManager[object]:
    return mock.patch("kanlit.kernel.supports", return_value=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20, help="per round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--grid-sizes", type=int, nargs="+", default=[3, 12, 100])
    options = parser.parse_args()
    if not kernel.kernel_available():
        raise SystemExit("the kernel is not built or switched off: see kanlit/kernel/__init__.py")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    equation = Helmholtz(conditions="soft")
    problem = BoundaryValueProblem(equation)
    print("| G | type | path | sweep, ms | nested autograd, ms | ratio | relative difference |")
    print("|---|---|---|---|---|---|---|")
    for grid_size in options.grid_sizes:
        for dtype in (torch.float32, torch.float64):
            network = KAN([2, 6, 6, 1], grid_size=grid_size, dtype=dtype)
            x = 2 * torch.rand(4096, 2, dtype=dtype) - 1
            batch = {"collocation": x, **problem.given_within(x)}
            for path, setting in (("kernel", nullcontext), ("torch", kernel_off)):
                sweeps, nested = [], []
                with setting():
                    ours = by_sweep(network, problem, batch)
                    theirs = by_autograd(network, equation, batch)
                    for _ in range(options.rounds):
                        repeats = options.repeats
                        sweeps.append(
                            milliseconds(lambda: by_sweep(network, problem, batch), repeats)  # noqa: B023
                        )
                        nested.append(
                            milliseconds(lambda: by_autograd(network, equation, batch), repeats)  # noqa: B023
                        )
                one = torch.cat([g.flatten() for g in ours])
                two = torch.cat([g.flatten() for g in theirs])
                apart = float((one - two).norm() / two.norm())
                sweep, auto = statistics.median(sweeps), statistics.median(nested)
                name = str(dtype).removeprefix("torch.")
                print(
                    f"| {grid_size} | {name} | {path} | {sweep:.2f} | {auto:.2f} "
                    f"| {auto / sweep:.1f} | {apart:.0e} |"
                )


if __name__ == "__main__":
    main()
