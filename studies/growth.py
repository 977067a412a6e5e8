"""Growth of time and memory of a training step with G, width, batch and depth.

    python studies/growth.py

One size grows and the others stay fixed. Each series ends with the exponent p of size^p, the slope
of a line fitted to the logarithms, for all sizes and for the larger half. All sizes of a series,
with and without the compiled kernel, take turns; processor time and memory as in packages.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
from contenders import Case
from measuring import Worker, measure_in_turn

NETWORKS = ("kanlit", "kanlit, plain torch")
SERIES = {
    "G, [2,10,1], batch 4000": {g: Case((2, 10, 1), g, 4000) for g in (3, 5, 12, 50, 200, 500)},
    "width w, [w,w], batch 1000, G = 12": {
        w: Case((w, w), 12, 1000) for w in (4, 8, 16, 32, 64, 128)
    },
    "batch, [2,10,1], G = 12": {n: Case((2, 10, 1), 12, n) for n in (250, 1000, 4000, 16000)},
    "depth d, d layers of [10,10], batch 1000, G = 12": {
        d: Case((10,) * (d + 1), 12, 1000) for d in (1, 2, 4, 8)
    },
}
NAMES = {title.split(",")[0].split()[0]: title for title in SERIES}


def exponent(sizes: Sequence[int], values: Sequence[float | None]) -> str:
    """p of the best fit size^p, for all sizes and for the larger half."""
    if any(value is None or value <= 0 for value in values):
        return "–"
    x, y = np.log(np.array(sizes, float)), np.log(np.array(values, float))
    half = len(sizes) // 2
    slopes = [np.polyfit(x[part], y[part], 1)[0] for part in (slice(None), slice(-half - 1, None))]
    return ", ".join(f"{slope:.2f}" for slope in slopes)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--series", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--sizes", type=int, help="use only this many of the smallest sizes")
    options = parser.parse_args()
    heads = [f"{name}, {unit}" for name in NETWORKS for unit in ("ms", "MiB")]
    for title in (NAMES[series] for series in options.series):
        name, cases = title.partition(",")[0], SERIES[title]
        sizes = list(cases)[: options.sizes]
        with ExitStack() as stack:
            pairs = [
                (stack.enter_context(Worker(network)), cases[size])
                for size in sizes
                for network in NETWORKS
            ]
            found = measure_in_turn(pairs, options.rounds, 8.0, forward=False)
        values = [value for each in found for value in (each.step, each.memory)]
        columns = [values[place :: len(heads)] for place in range(len(heads))]
        print(f"\n| {title} | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
        for size, *row in zip(sizes, *columns, strict=True):
            cells = ["–" if value is None else f"{value:.2f}" for value in row]
            print(f"| {size} | {' | '.join(cells)} |")
        exponents = [exponent(sizes, column) for column in columns]
        print(f"| exponent of {name}: all, upper half | {' | '.join(exponents)} |", flush=True)


if __name__ == "__main__":
    main()
