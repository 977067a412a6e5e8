"""Time of a grid adaptation and of an extension, in training steps.

    python studies/adaptation.py

The network is [2, 10, 1] with 4000 samples of f1; a step is forward, backward and Adam on all of
them. Adaptations and steps take turns on one thread. Times are medians of the processor time over
rounds.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from kanlit import (
    KAN,
    BlendedDensity,
    CurvatureDensity,
    DeBoorDensity,
    GradientDensity,
    InputDensity,
    adapt_grids,
)
from kanlit.adaptation import ImportanceDensity
from kanlit.data import SyntheticData

DENSITIES: dict[str, Callable[[], ImportanceDensity]] = {
    "BlendedDensity, the default": BlendedDensity,
    "InputDensity": InputDensity,
    "GradientDensity": GradientDensity,
    "CurvatureDensity": CurvatureDensity,
    "DeBoorDensity": DeBoorDensity,
}


def milliseconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return 1e3 * (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=30, help="per round")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = SyntheticData("f1", standardize=False)
    data.setup("fit")
    ((x, target),) = data.train_dataloader()
    print("| density | G | step, ms | adaptation, ms | in steps |\n|---|---|---|---|---|")
    for name, density in DENSITIES.items():
        for old, new in ((12, 12), (9, 12)):
            network = KAN([2, 10, 1], grid_size=old)
            optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)

            def steps(network: KAN = network, optimizer: torch.optim.Adam = optimizer) -> None:
                for _ in range(options.steps):
                    optimizer.zero_grad()
                    (network(x) - target).square().mean().backward()
                    optimizer.step()

            steps()
            trained, adapted = [], []
            for _ in range(options.rounds):
                trained.append(milliseconds(steps) / options.steps)
                other, chosen = copy.deepcopy(network), density()
                adapted.append(milliseconds(partial(adapt_grids, other, x, chosen, new)))
            step, adaptation = statistics.median(trained), statistics.median(adapted)
            sizes = f"{old} to {new}" if new > old else f"{old}"
            cells = f"{step:.2f} | {adaptation:.1f} | {adaptation / step:.1f}"
            print(f"| {name} | {sizes} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
