"""Time of a PDE residual and its gradient, by a sweep and by nested autograd.

    python studies/residual.py
    python studies/residual.py --orders

Computes the Helmholtz residual u_x1x1 + u_x2x2 + k²u - q of a network [2, 6, 6, 1], its mean
square and the gradient with respect to the parameters. Nested autograd differentiates the forward
pass twice with respect to the points, with create_graph, and once with respect to the parameters.
A sweep propagates derivatives forward and needs one backward pass. Both run with the compiled
kernel and in plain torch, on one thread, in turn in one process. Times are medians of the
processor time over rounds.

With --orders it measures instead what derivatives of higher orders cost, for splines of degree 5,
G = 12 and float64: their values, the gradient of a residual with them, and a step of
Levenberg-Marquardt. All orders run in turn. Each number is the least time over rounds as a ratio to
that of order 2.
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
from kanlit.chain_rule import Along
from kanlit.nn import KAN, Jet
from kanlit.optim import LevenbergMarquardt, Residual
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


class Order:
    """A residual with some derivatives, evaluated in three ways."""

    def __init__(self, wanted: list[Along], points: int) -> None:
        torch.manual_seed(0)
        self._wanted = wanted
        self._network = KAN([2, 6, 6, 1], grid_size=12, spline_order=5, dtype=torch.float64)
        self._parameters = list(self._network.parameters())
        self._start = [p.detach().clone() for p in self._parameters]
        self._x = 2 * torch.rand(points, 2, dtype=torch.float64) - 1
        self._optimizer = LevenbergMarquardt(self._parameters)

    def _residual(self) -> Tensor:
        u = self._network.jet(Jet.variables(self._x, self._wanted))
        terms = [u.value * u.stream((0,)), *(u.stream(along) for along in self._wanted)]
        return torch.cat(terms, 1).sum(1, keepdim=True)

    @torch.no_grad()
    def values(self) -> Gradients:
        return (self._residual(),)

    def gradients(self) -> Gradients:
        return torch.autograd.grad(self._residual().square().mean(), self._parameters)

    def step(self) -> Gradients:
        """Each step starts from the same weights."""
        with torch.no_grad():
            for parameter, value in zip(self._parameters, self._start, strict=True):
                parameter.copy_(value)
        self._optimizer.step(lambda: {"pde": Residual(self._residual())})
        return ()


def print_orders(rounds: int, repeats: int, points: int) -> None:
    families: dict[str, list[list[Along]]] = {
        "u, u_x, u_xx, …": [[(0,) * order] for order in (2, 3, 4)],
        "u, u_t, u_x, u_xx, …": [[(0,) * order, (1,)] for order in (2, 3, 4)],
    }
    print("| derivatives | path | order | values | gradient | step |")
    print("|---|---|---|---|---|---|")
    for name, family in families.items():
        for path, setting in (("kernel", nullcontext), ("torch", kernel_off)):
            orders = [Order(wanted, points) for wanted in family]
            ratios = []
            with setting():
                for way, times in (("values", repeats), ("gradients", repeats), ("step", 1)):
                    calls: list[Callable[[], Gradients]] = [getattr(o, way) for o in orders]
                    turns = [[milliseconds(call, times) for call in calls] for _ in range(rounds)]
                    least = [min(column) for column in zip(*turns, strict=True)]
                    ratios.append([duration / least[0] for duration in least])
            for order, row in list(enumerate(zip(*ratios, strict=True), start=2))[1:]:
                cells = " | ".join(f"{ratio:.2f}" for ratio in row)
                print(f"| {name} | {path} | {order} | {cells} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20, help="per round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--grid-sizes", type=int, nargs="+", default=[3, 12, 100])
    parser.add_argument("--points", type=int, default=4096)
    parser.add_argument("--orders", action="store_true", help="compare orders of derivatives")
    options = parser.parse_args()
    if not kernel.kernel_available():
        raise SystemExit("the kernel is not built or switched off: see kanlit/kernel/__init__.py")
    torch.set_num_threads(1)
    if options.orders:
        print_orders(options.rounds, options.repeats, options.points)
        return
    torch.manual_seed(0)
    equation = Helmholtz(conditions="soft")
    problem = BoundaryValueProblem(equation)
    print("| G | type | path | sweep, ms | nested autograd, ms | ratio | relative difference |")
    print("|---|---|---|---|---|---|---|")
    for grid_size in options.grid_sizes:
        for dtype in (torch.float32, torch.float64):
            network = KAN([2, 6, 6, 1], grid_size=grid_size, dtype=dtype)
            x = 2 * torch.rand(options.points, 2, dtype=dtype) - 1
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
