"""Compares the exact curvature of a network by a sweep with central differences.

    python studies/hessian.py

For 2, 16 and 64 inputs: relative error of the weights Σ|∂²f/∂x²| in float32 compared with float64,
seconds, and growth of the process's memory, each in a separate process on one thread.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import time
from typing import Literal

import torch

from kanlit.adaptation import CurvatureDensity, ImportanceContext
from kanlit.nn import KAN

Method = Literal["exact", "finite_difference"]


def weights(method: Method, network: KAN, x: torch.Tensor) -> torch.Tensor:
    """Curvature of each sample, ``(n,)``."""
    density = CurvatureDensity(method=method, power=1.0, epsilon=0.0)
    return density(ImportanceContext(network.layers[0], x, network, x))


def measure(method: Method, inputs: int, samples: int, rounds: int) -> tuple[float, float, float]:
    """Relative error, median seconds, and growth of the process in MiB."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)  # as in an adaptation
    generator = torch.Generator().manual_seed(0)
    network = KAN([inputs, 10, 1], grid_size=12, generator=generator)
    x = torch.rand(samples, inputs, generator=generator) * 2 - 1
    weights(method, network, x[:64])  # excludes the cost of the first call
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = weights(method, network, x)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        weights(method, network, x)
        seconds.append(time.perf_counter() - start)
    exact = weights("exact", network.double(), x.double())
    error = (found.double() - exact).norm() / exact.norm()
    return float(error), statistics.median(seconds), grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print("| inputs | method | relative error | ms | MiB |\n|---|---|---|---|---|")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kanlit.adaptation"])
    for inputs in (2, 16, 64):
        for method in ("exact", "finite_difference"):
            with context.Pool(1) as pool:
                case = (method, inputs, options.samples, options.rounds)
                error, seconds, grown = pool.apply(measure, case)
            print(f"| {inputs} | {method} | {error:.1e} | {1e3 * seconds:.1f} | {grown:.0f} |")


if __name__ == "__main__":
    main()
