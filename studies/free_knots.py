"""What knots alone can do: one least-squares spline of a sharp function, G held, knots adapted.

    python studies/free_knots.py
    python studies/free_knots.py --out free_knots.png

Cubic splines of 4,000 points. Each density adapts the knots 20 times, with a least-squares fit
after each; the fit that is best on the validation points counts. Medians of the relative L2 error
on the test grid over ten draws of the points, seeds 42 to 51.
With --out, a picture of the peaks with G = 24 on the points of seed 42.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import geometric_mean, median

import torch
from matplotlib.figure import Figure
from torch import Tensor

from kanlit.adaptation import (
    BlendedDensity,
    DeBoorDensity,
    ErrorDensity,
    ImportanceDensity,
    LossDensity,
    Placement,
    adapt_grids,
)
from kanlit.data import SharpData
from kanlit.nn import KAN, KANLayer
from kanlit.problems import SHARP
from kanlit.splines import bspline_basis

FUNCTIONS = [name for name, target in SHARP.items() if target.dim == 1]
DENSITIES: dict[str, ImportanceDensity | None] = {
    "uniform": None,
    "default": BlendedDensity(),
    "De Boor": DeBoorDensity(),
    "loss": LossDensity(),
    "error": ErrorDensity(),
}
PLACEMENT = Placement(uniform_mix=0.0, least_gap=1e-3)
RIDGE = 1e-7  # determines the splines of intervals without points


def fit(layer: KANLayer, x: Tensor, y: Tensor) -> None:
    """Gives the layer the least-squares spline of the points."""
    basis = bspline_basis(x, layer.knots, layer.spline_order)[:, 0]
    ridge = RIDGE * torch.eye(basis.shape[1], dtype=basis.dtype)
    rows, values = torch.cat([basis, ridge]), torch.cat([y, torch.zeros_like(ridge[:, :1])])
    with torch.no_grad():
        layer.coefficients.copy_(torch.linalg.lstsq(rows, values).solution.T.unsqueeze(0))


def spline(data: SharpData, density: ImportanceDensity | None, grid_size: int) -> tuple[KAN, float]:
    """The spline that is best on the validation points, and its error on the test grid."""
    (x, y), (x_val, y_val), (x_test, y_test) = (
        [values.double() for values in data.build(part)] for part in ("train", "validate", "test")
    )
    network = KAN([1, 1], grid_size=grid_size, grid_range=(0.0, 1.0), dtype=torch.float64)
    layer = network.layers[0]
    with torch.no_grad():
        layer.edge_scale.fill_(1)
        layer.base_weight.zero_()
    fit(layer, x, y)
    least, best = float("inf"), {}
    for _ in range(1 if density is None else 21):
        with torch.no_grad():
            loss = float((network(x_val) - y_val).square().mean())
            losses = (network(x) - y).square().sum(1)
        if loss < least:
            least, best = loss, {k: v.clone() for k, v in network.state_dict().items()}
        if density is not None:
            adapt_grids(network, x, density, placement=PLACEMENT, sample_losses=losses)
            fit(layer, x, y)
    network.load_state_dict(best)
    with torch.no_grad():
        return network, float((network(x_test) - y_test).norm() / y_test.norm())


def table(grid_size: int) -> None:
    """Prints the medians of each function, and the geometric mean over those of uniform knots."""
    print(f"| G = {grid_size} | " + " | ".join(DENSITIES) + " |")
    print("|---" * (1 + len(DENSITIES)) + "|")
    ratios: dict[str, list[float]] = {name: [] for name in DENSITIES}
    for function in FUNCTIONS:
        data = [SharpData(function, seed=seed) for seed in range(42, 52)]
        errors = {
            name: median(spline(each, density, grid_size)[1] for each in data)
            for name, density in DENSITIES.items()
        }
        for name, error in errors.items():
            ratios[name].append(error / errors["uniform"])
        print(
            f"| {function} | " + " | ".join(f"{e:.1e}" for e in errors.values()) + " |", flush=True
        )
    means = " | ".join(f"{geometric_mean(each):.2g}" for each in ratios.values())
    print(f"| over uniform knots | {means} |", flush=True)


def picture(path: Path, grid_size: int = 24) -> None:
    """Both splines of the peaks, around each peak, with their knots below."""
    data = SharpData("peaks")
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col", sharey=True)
    titles = {"uniform": "Uniform knots", "error": "Knots by ErrorDensity"}
    for row, (name, title) in zip(axes, titles.items(), strict=True):
        network, error = spline(data, DENSITIES[name], grid_size)
        layer = network.layers[0]
        knots = layer.breakpoints[0]
        for axis, (low, high) in zip(row, ((0.2, 0.4), (0.69, 0.71)), strict=True):
            x = torch.linspace(low, high, 2001, dtype=torch.float64).unsqueeze(1)
            inside = knots[(knots >= low) & (knots <= high)]
            axis.plot(x, data.target(x), color="0.7", linewidth=4, label="function")
            with torch.no_grad():
                axis.plot(x, network(x), color="C3", label=f"spline, G = {grid_size}")
            axis.plot(inside, torch.full_like(inside, -0.15), "|k", markersize=10, label="knots")
            axis.set_xlim(low, high)
            axis.set_xticks([low, (low + high) / 2, high])
        row[0].set_title(f"{title}: relative L2 error {error:.1e}", loc="left")
    axes[0, 0].legend(loc="upper right")
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description="knots of one spline of a sharp function")
    parser.add_argument("--out", type=Path, help="draw the picture instead of the tables")
    out = parser.parse_args().out
    if out is not None:
        picture(out)
        return
    for grid_size in (12, 24):
        table(grid_size)


if __name__ == "__main__":
    main()
