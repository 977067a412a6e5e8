"""Formulas of networks with more nodes than their formulas need, and of noisy targets.

    python studies/formulas.py [NAME ...]

A network of given widths is fitted to 2000 points as ``kanlit fit`` does, G = 8. Prints the
processor seconds of the search, the formula, and its relative L2 error against the function without
noise on 2000 other points.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from kanlit.nn import KAN
from kanlit.problems import FEYNMAN
from kanlit.scaling import Standardization
from kanlit.selection import select_network
from kanlit.symbolic import find_formula

Function = Callable[[Tensor], Tensor]

_SEED, _ROWS = 7, 2000


def _of_columns(function: Callable[[Tensor, Tensor], Tensor]) -> Function:
    return lambda x: function(*x.split(1, 1))


_EXP = _of_columns(lambda a, b: (torch.sin(torch.pi * a) + b**2).exp())
CASES: dict[str, tuple[Function, int, float]] = {  # function, hidden nodes, noise
    "exp": (_EXP, 5, 0.0),
    "sum": (_of_columns(lambda a, b: torch.sin(torch.pi * a) + b**2), 5, 0.0),
    "product": (_of_columns(lambda a, b: a * torch.sin(b)), 5, 0.0),
    **{f"feynman{n}": (FEYNMAN[n], 1 if n == 4 else 2, 0.0) for n in (4, 9, 10, 2)},
    "noisy_exp": (_EXP, 5, 0.5),
    "noisy_product": (_of_columns(lambda a, b: a * b), 3, 0.1),
}


def _points(seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(_ROWS, 2, generator=draw, dtype=torch.float64) - 1


def run(name: str) -> None:
    function, hidden, noise = CASES[name]
    x, test_x = _points(_SEED), _points(_SEED + 1)
    y, truth = function(x), function(test_x)
    y = y + noise * torch.from_numpy(np.random.default_rng(_SEED).standard_normal(y.shape))
    scales = Standardization.from_samples(x, y)
    standardized = (
        (x - scales.input_mean) / scales.input_std,
        ((y - scales.target_mean) / scales.target_std),
    )
    fit = select_network(*standardized, _network, [hidden], 8, 3).fit
    network = fit.network.requires_grad_(False)

    start = time.process_time()
    formula = find_formula(network, x, y, scales, noise=fit.noise)
    seconds = time.process_time() - start
    error = float((formula(test_x) - truth).norm() / truth.norm())
    (output,) = formula.outputs
    print(f"{name} [2, {hidden}, 1]: {seconds:.1f} s, {error:.1e}, {output.expression}", flush=True)


def _network(
    hidden: Sequence[int], grid_size: int, spline_order: int, generator: torch.Generator
) -> KAN:
    return KAN(
        [2, *hidden, 1],
        grid_size=grid_size,
        spline_order=spline_order,
        generator=generator,
        dtype=torch.float64,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}")
    for each in parser.parse_args().names or CASES:
        run(each)
