"""Effect of ε on the knots, for a function with flat parts and for a line.

    python studies/epsilon_knots.py --out epsilon.png

A one-layer spline is fitted to tanh(50x) and to 2x − 1 on [−1, 1]. Then twelve intervals are placed
by raw and by tempered curvature for each ε, without a uniform part. The table has the fraction of
inner breakpoints in the flat parts |x| > 0.2, which are four fifths of the interval, and the widest
interval in uniform steps; the figure shows the breakpoints.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor

from kanlit.adaptation import CurvatureDensity, Placement, adapt_grids
from kanlit.nn import KAN

EPSILONS = [1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1e-1, 1e1, 1e3]
TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh(50x)": lambda x: torch.tanh(50 * x),
    "2x − 1": lambda x: 2 * x - 1,
}


def fitted(target: Callable[[Tensor], Tensor]) -> KAN:
    """One spline on a fine uniform grid, fitted by least squares (the base branch is off)."""
    network = KAN([1, 1], grid_size=200, dtype=torch.float64)
    (layer,) = network.layers
    x = torch.linspace(-1, 1, 4001, dtype=torch.float64).unsqueeze(1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.edge_scale.fill_(1.0)
        columns = []
        for i in range(layer.coefficients.shape[-1]):
            layer.coefficients[0, 0, i] = 1.0
            columns.append(network(x))
            layer.coefficients[0, 0, i] = 0.0
        solution = torch.linalg.lstsq(torch.cat(columns, 1), target(x)).solution
        layer.coefficients[0, 0] = solution[:, 0]
    return network.float()


def breakpoints(network: KAN, power: float, epsilon: float) -> Tensor:
    x = torch.linspace(-1, 1, 4000).unsqueeze(1)
    density = CurvatureDensity(power=power, epsilon=epsilon)
    placement = Placement(uniform_mix=0.0, least_gap=1e-4, margin=0.0)
    report = adapt_grids(copy.deepcopy(network), x, density, 12, placement=placement)
    return report.layers[0].new_breakpoints[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="file of the figure; none is drawn if omitted")
    options = parser.parse_args()
    figure = Figure(figsize=(9.6, 4.6), dpi=100)
    print("| target | power | ε | inner breakpoints in flat parts | widest interval, in steps |")
    print("|---|---|---|---|---|")
    for column, (name, target) in enumerate(TARGETS.items()):
        network = fitted(target)
        for row, power in enumerate((1.0, 0.5)):
            axes = figure.add_axes((0.09 + 0.46 * column, 0.58 - 0.46 * row, 0.43, 0.34))
            for level, epsilon in enumerate(EPSILONS):
                found = breakpoints(network, power, epsilon)
                flat = float((found[1:-1].abs() > 0.2).double().mean())
                widest = float(found.diff().max()) / (2 / 12)
                print(f"| {name} | {power:g} | {epsilon:.0e} | {flat:.0%} | {widest:.2f} |")
                axes.plot(found, [level] * len(found), "|", ms=11, mew=1.3, color="#0072B2")
            axes.set_title(f"{name}, (|f''| + ε)^{power:g}", fontsize=9.5)
            axes.set_yticks(range(len(EPSILONS)), [f"{e:.0e}" for e in EPSILONS], fontsize=7.5)
            axes.tick_params(labelsize=7.5)
            if column == 0:
                axes.set_ylabel("ε", fontsize=9)
            axes.spines[["top", "right"]].set_visible(False)
    if options.out:
        figure.savefig(options.out)


if __name__ == "__main__":
    main()
