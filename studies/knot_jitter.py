"""Variation of the knots between draws of the samples that they are placed from.

    python studies/knot_jitter.py

A network is trained once on a synthetic task with ``kanlit fit``. Then its first grid is placed
many times, each time from new samples. The jitter is the standard deviation of a breakpoint over
the draws, averaged over the inner breakpoints, in uniform steps.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import sys
import tempfile

import torch

from kanlit.adaptation import (
    CurvatureDensity,
    ImportanceDensity,
    InputDensity,
    Placement,
    adapt_grids,
)
from kanlit.cli import main as kanlit
from kanlit.modules import RegressionModule
from kanlit.nn import KAN
from kanlit.problems import SYNTHETIC
from kanlit.problems.functions.target import uniform_points

DENSITIES: dict[str, tuple[ImportanceDensity, float]] = {
    "input": (InputDensity(), 0.0),
    "raw curvature": (CurvatureDensity(power=1.0), 0.0),
    "tempered curvature": (CurvatureDensity(), 0.2),
}


def trained(function: str) -> KAN:
    """The network of a run with the paper's protocol, before its last extension."""
    with tempfile.TemporaryDirectory() as root, contextlib.redirect_stderr(io.StringIO()):
        sys.argv = ["kanlit", "fit", "--data", "SyntheticData", "--data.function", function]
        sys.argv += ["--data.standardize", "false"]
        sys.argv += ["--model.optimizer.lr", "0.01", "--trainer.max_epochs", "1500"]
        sys.argv += ["--adaptation.schedule", "[3, 6, 9]", "--trainer.default_root_dir", root]
        with contextlib.redirect_stdout(io.StringIO()):
            kanlit()
        path = f"{root}/lightning_logs/version_0/checkpoints/last.ckpt"
        network = RegressionModule.load_from_checkpoint(path).network
    assert isinstance(network, KAN)
    return network


def jitter(
    network: KAN, function: str, density: ImportanceDensity, mix: float, samples: int, draws: int
) -> float:
    """Standard deviation of a breakpoint, in uniform steps."""
    target = SYNTHETIC[function]
    found = []
    for draw in range(draws):
        x = uniform_points(target.bounds, samples, torch.Generator().manual_seed(draw)).float()
        adapted = copy.deepcopy(network)
        report = adapt_grids(adapted, x, density, 12, placement=Placement(uniform_mix=mix))
        found.append(report.layers[0].new_breakpoints)
    low, high = target.bounds[0]
    spread = torch.stack(found).std(0)[:, 1:-1].mean()
    return float(spread / ((high - low) / 12))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--functions", nargs="+", default=["f1", "f2", "f8"])
    parser.add_argument("--samples", nargs="+", type=int, default=[16, 64, 250, 1000, 4000])
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| task | density | {' | '.join(f'n = {n}' for n in options.samples)} |")
    print("|---" * (2 + len(options.samples)) + "|")
    for function in options.functions:
        network = trained(function)
        for name, (density, mix) in DENSITIES.items():
            row = [
                jitter(network, function, density, mix, n, options.draws) for n in options.samples
            ]
            print(f"| {function} | {name} | {' | '.join(f'{j:.3f}' for j in row)} |", flush=True)


if __name__ == "__main__":
    main()
