"""Time of a training step on a GPU: eager, torch.compile, and a CUDA graph of the whole step.

    python studies/gpu_steps.py

Forward, backward and Adam for the cases of studies/step.py; lowest wall time over the rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from step import CASES
from torch import Tensor

from kanlit.nn import KAN

Case = Callable[[int], tuple[KAN, Callable[[], Tensor]]]


def training_step(case: Case, grid_size: int, capturable: bool = False) -> Callable[[], None]:
    network, loss = case(grid_size)
    optimizer = torch.optim.Adam(network.parameters(), capturable=capturable)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def compiled(case: Case, grid_size: int, backend: str) -> Callable[[], None]:
    network, loss = case(grid_size)
    loss = torch.compile(loss, backend=backend)
    optimizer = torch.optim.Adam(network.parameters())

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def graphed(case: Case, grid_size: int) -> Callable[[], None]:
    step = training_step(case, grid_size, capturable=True)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # the set-up of the first steps is not captured
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def milliseconds(step: Callable[[], None], steps: int, rounds: int, cuda: bool) -> str:
    best = float("inf")
    for round_ in range(rounds + 1):  # the first is a warm-up
        start = time.perf_counter()
        for _ in range(steps):
            step()
        if cuda:
            torch.cuda.synchronize()
        if round_ > 0:
            best = min(best, (time.perf_counter() - start) / steps)
    return f"{1e3 * best:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", type=int, nargs="+", default=[3, 12, 100, 500])
    parser.add_argument("--cases", type=int, default=len(CASES))
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", default="inductor", help="backend of torch.compile")
    options = parser.parse_args()
    cuda = options.device == "cuda"
    torch.set_default_device(options.device)
    card = torch.cuda.get_device_name() if cuda else options.device
    print(f"{card}, torch {torch.__version__}\n")
    print("| case | G | eager, ms | torch.compile, ms | CUDA graph, ms |\n|---|---|---|---|---|")
    for name, case in list(CASES.items())[: options.cases]:
        for size in options.sizes:
            makers = {
                "eager": lambda case=case, size=size: training_step(case, size),
                "compile": lambda case=case, size=size: compiled(case, size, options.backend),
                "graph": lambda case=case, size=size: graphed(case, size),
            }
            times = []
            for kind, make in makers.items():
                if kind == "graph" and not cuda:
                    times.append("none")
                    continue
                torch.manual_seed(0)
                torch.compiler.reset()
                times.append(milliseconds(make(), options.steps, options.rounds, cuda))
            print(f"| {name} | {size} | {' | '.join(times)} |", flush=True)


if __name__ == "__main__":
    main()
