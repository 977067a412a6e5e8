"""Knots as parameters: what they gain over knots by ErrorDensity, in a spline and in networks.

    python studies/learned_knots.py
    kanlit benchmark --suite sharp --tasks peaks,jump,kink,layer,doppler --seeds 42-43 \
      --recipe best --variants configs/benchmark/control.yaml --logs --out out
    python studies/learned_knots.py --networks out

The first command fits one cubic spline of 4,000 points with G = 12 and 24. *Learned* starts from
the knots of ErrorDensity and minimizes the squared residual over the interval widths, with the
least-squares coefficients of each (variable projection). *Inserted* halves the interval with the
largest exact fall of the squared residual until G is reached, and then exchanges knots: it inserts
the best and removes the one whose removal costs least. *Both* learns from those. Medians over the
seeds 42 to 51.

The second goes on with trained networks for 60 Levenberg-Marquardt steps, once with the knots as
they are and once with all interval widths as further parameters, whose columns in the Jacobian are
central differences. The network with the least validation loss counts.

Source: Jupp, Approximation to data by splines with free knots, SIAM J. Numer. Anal. 15 (1978).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import geometric_mean, median

import free_knots
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.optimize import least_squares
from torch import Tensor

from kanlit.checkpoints import read_checkpoint
from kanlit.checkpoints.restore import restore_module
from kanlit.data import SharpData
from kanlit.modules import RegressionModule
from kanlit.nn import KANLayer
from kanlit.nn.elementary import silu_derivatives

Array = NDArray[np.float64]
ORDER = 3
GAP = 1e-4  # least interval, relative to the range
STEPS, RIDGE = 60, 1e-2  # of a network; the relative ridge is that of the recipe


# -- one spline ---------------------------------------------------------------------------------


def design(breakpoints: Array, x: Array) -> Array:
    """The B-splines at x ``(n, G+k)``."""
    ends = [np.repeat(breakpoints[i], ORDER) for i in (0, -1)]
    knots = np.concatenate([ends[0], breakpoints, ends[1]])
    return BSpline.design_matrix(x, knots, ORDER).toarray()


def residual(breakpoints: Array, x: Array, y: Array) -> Array:
    """That of the least-squares spline."""
    matrix = design(breakpoints, x)
    return y - matrix @ coefficients(matrix, y)


def coefficients(matrix: Array, y: Array) -> Array:
    """Those of the least-squares spline, also where an interval has no points."""
    count = matrix.shape[1]
    rows = np.concatenate([matrix, free_knots.RIDGE * np.eye(count)])
    return np.linalg.lstsq(rows, np.concatenate([y, np.zeros(count)]), rcond=None)[0]


def learned(breakpoints: Array, x: Array, y: Array) -> Array:
    """The breakpoints with the least squared residual, from a start."""
    count, low, span = len(breakpoints) - 1, breakpoints[0], np.ptp(breakpoints)

    def placed(free: Array) -> Array:
        shares = np.exp(free - free.max())
        widths = GAP + (1 - count * GAP) * shares / shares.sum()
        inner = low + span * np.cumsum(widths)[:-1]
        return np.concatenate([breakpoints[:1], inner, breakpoints[-1:]])

    logs = np.log(np.maximum(np.diff(breakpoints) / span - GAP, 1e-6))
    found = least_squares(
        lambda free: residual(placed(free), x, y), logs, max_nfev=40, diff_step=1e-4
    )
    return placed(found.x)


def inserted(grid_size: int, x: Array, y: Array, x_val: Array, y_val: Array) -> Array:
    """The breakpoints by greedy insertion and exchange that are best on the validation points."""

    def extended(breakpoints: Array) -> Array:
        matrix = design(breakpoints, x)
        left, _ = np.linalg.qr(matrix)
        rest = residual(breakpoints, x, y)
        middles = (breakpoints[:-1] + breakpoints[1:]) / 2
        gains = np.zeros(len(middles))
        for i, middle in enumerate(middles):
            inside = (x > breakpoints[i]) & (x < breakpoints[i + 1])
            if breakpoints[i + 1] - breakpoints[i] < 2 * GAP or inside.sum() <= ORDER:
                continue
            new = np.maximum(x - middle, 0) ** ORDER  # spans the same as the new B-spline
            for _ in range(2):  # twice, against rounding
                new -= left @ (left.T @ new)
            gains[i] = (rest @ new) ** 2 / max(new @ new, 1e-20 * len(x))
        return np.sort(np.append(breakpoints, middles[gains.argmax()]))

    def lost(breakpoints: Array, index: int) -> float:
        return float(np.square(residual(np.delete(breakpoints, index), x, y)).sum())

    def loss(breakpoints: Array) -> float:
        return error(breakpoints, (x, y), (x_val, y_val))

    now = np.linspace(0, 1, 4)
    while len(now) <= grid_size:
        now = extended(now)
    best = now
    for _ in range(40):
        more = extended(now)
        new = np.delete(more, min(range(1, len(more) - 1), key=lambda i: lost(more, i)))
        if np.array_equal(new, now):
            break
        now = new
        best = min(best, now, key=loss)
    return best


def error(breakpoints: Array, rows: tuple[Array, Array], other: tuple[Array, Array]) -> float:
    """Relative L2 error, at other points, of the least-squares spline."""
    x, y = other
    fitted = design(breakpoints, x) @ coefficients(design(breakpoints, rows[0]), rows[1])
    return float(np.linalg.norm(fitted - y) / np.linalg.norm(y))


def splines(grid_size: int) -> None:
    """Prints a table of one spline."""
    names = ["uniform", "ErrorDensity", "learned", "inserted", "both"]
    print(f"| G = {grid_size} | {' | '.join(names)} |\n" + "|---" * 6 + "|", flush=True)
    for function in free_knots.FUNCTIONS:
        found = []
        for seed in range(42, 52):
            data = SharpData(function, seed=seed)
            parts = [data.build(part) for part in ("train", "validate", "test")]
            train, validate, test = ([v.double().numpy().ravel() for v in part] for part in parts)
            uniform = np.linspace(0, 1, grid_size + 1)
            network, _ = free_knots.spline(data, free_knots.DENSITIES["error"], grid_size)
            placed = network.layers[0].breakpoints[0].numpy()
            # A grid reaches 1 % beyond the points of training; those of the test lie in [0, 1].
            placed = np.concatenate([[min(placed[0], 0)], placed[1:-1], [max(placed[-1], 1)]])
            greedy = inserted(grid_size, *train, *validate)
            grids = [uniform, placed, learned(placed, *train), greedy, learned(greedy, *train)]
            found.append([error(grid, train, test) for grid in grids])
        row = " | ".join(f"{median(each):.1e}" for each in zip(*found, strict=True))
        print(f"| {function} | {row} |", flush=True)


# -- networks -----------------------------------------------------------------------------------


class Parameters:
    """Those of one layer.

    Args:
        layer: The layer, whose basis is used.
        values: Coefficients times scales, base weights, bias, logarithms of the interval widths.
    """

    def __init__(self, layer: KANLayer, values: list[Tensor]) -> None:
        self.layer, self.values = layer, values

    @classmethod
    def of(cls, layer: KANLayer) -> Parameters:
        widths = layer.breakpoints.diff(dim=1)
        shares = (widths / widths.sum(1, keepdim=True) - GAP).clamp(min=1e-7)
        scaled = layer.coefficients * layer.edge_scale.unsqueeze(-1)
        own = [scaled, layer.base_weight, layer.bias, shares.log()]
        return cls(layer, [each.detach().clone() for each in own])

    def moved(self, step: Iterator[Tensor], learn: bool) -> Parameters:
        """After a step; the widths stay unless they are learned."""
        count = len(self.values) if learn else len(self.values) - 1
        new = [value + next(step).view_as(value) for value in self.values[:count]]
        return Parameters(self.layer, new + self.values[count:])

    def breakpoints(self) -> Tensor:
        logs = self.values[3]
        shares = GAP + (1 - logs.shape[1] * GAP) * logs.softmax(1)
        first, last = self.layer.breakpoints[:, :1], self.layer.breakpoints[:, -1:]
        inner = torch.lerp(first, last, shares.cumsum(1)[:, :-1])
        return torch.cat([first, inner, last], 1)

    def features(self, x: Tensor, grid: Tensor, order: int = 0) -> Tensor:
        """The basis functions on a grid ``(n, in, G+k)``."""
        return self.layer.basis_on(self.layer.knots_for(grid)).designs(x, [order])[0]

    def forward(self, x: Tensor) -> Tensor:
        weights, base, bias, _ = self.values
        curves = torch.einsum("nik,oik->no", self.features(x, self.breakpoints()), weights)
        return curves + silu_derivatives(x, 0)[0] @ base.T + bias

    def backward(self, x: Tensor, delta: Tensor, learn: bool) -> tuple[list[Tensor], Tensor]:
        """Columns of the Jacobian, and the gradients at the inputs."""
        weights, base, _, logs = self.values
        grid = self.breakpoints()
        silu, slope = silu_derivatives(x, 1)
        columns = [
            torch.einsum("no,nik->noik", delta, self.features(x, grid)).flatten(1),
            torch.einsum("no,ni->noi", delta, silu).flatten(1),
            delta,
        ]
        if learn:
            moved = []
            for m in range(1, grid.shape[1] - 1):
                step = torch.zeros_like(grid)
                step[:, m] = 1e-5 * torch.minimum(
                    grid[:, m] - grid[:, m - 1], grid[:, m + 1] - grid[:, m]
                )
                ends = (self.features(x, grid + sign * step) for sign in (1, -1))
                change = next(ends).sub(next(ends)) / (2 * step[:, m, None])
                moved.append(torch.einsum("no,nik,oik->ni", delta, change, weights))
            shares, count = logs.softmax(1), logs.shape[1]
            lower = torch.tril(torch.ones(count - 1, count).to(logs))
            below = shares.cumsum(1)[:, :-1, None]
            scale = (1 - count * GAP) * (grid[:, -1:] - grid[:, :1])
            by_logs = scale.unsqueeze(-1) * shares.unsqueeze(1) * (lower - below)
            columns.append(torch.einsum("min,img->nig", torch.stack(moved).mT, by_logs).flatten(1))
        inner = torch.einsum("no,nik,oik->ni", delta, self.features(x, grid, 1), weights)
        return columns, inner + (delta @ base) * slope


def predicted(layers: list[Parameters], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer.forward(x)
    return x


def jacobian(layers: list[Parameters], x: Tensor, learn: bool) -> Tensor:
    inputs = [x]
    for layer in layers[:-1]:
        inputs.append(layer.forward(inputs[-1]))
    delta = torch.ones_like(x[:, :1])
    columns: list[Tensor] = []
    for layer, own in zip(reversed(layers), reversed(inputs), strict=True):
        new, delta = layer.backward(own, delta, learn)
        columns = new + columns
    return torch.cat(columns, 1)


def trained(
    layers: list[Parameters], rows: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], learn: bool
) -> list[Parameters]:
    """The layers with the least validation loss after some steps."""

    def loss(layers: list[Parameters], rows: tuple[Tensor, Tensor]) -> float:
        return float((predicted(layers, rows[0]) - rows[1]).square().mean())

    x, y = rows
    count = 4 if learn else 3
    best, least = layers, loss(layers, other)
    damping, growth = 1e-3, 2.0
    for _ in range(STEPS):
        own = [value for layer in layers for value in layer.values[:count]]
        sizes = [value.numel() for value in own]
        theta = torch.cat([value.flatten() for value in own])
        now = loss(layers, rows)
        # The relative ridge of the recipe, not on the widths.
        penalty = torch.cat(
            [
                torch.full((size,), 0.0 if i % count == 3 else RIDGE * now).double()
                for i, size in enumerate(sizes)
            ]
        )
        matrix = jacobian(layers, x, learn)
        products = matrix.T @ matrix / len(x) + penalty.diag()
        slope = matrix.T @ (predicted(layers, x) - y)[:, 0] / len(x) + penalty * theta
        before = now + float(penalty @ theta.square())
        for _ in range(10):
            damped = products + damping * (products.diag() + 1e-14).diag()
            step = torch.linalg.solve(damped, -slope)
            pieces = iter(step.split(sizes))
            new = [layer.moved(pieces, learn) for layer in layers]
            fall = before - loss(new, rows) - float(penalty @ (theta + step).square())
            if fall > 0:
                gain = fall / -float(2 * slope @ step + step @ products @ step)
                damping, growth, layers = damping * max(1 / 3, 1 - (2 * gain - 1) ** 3), 2.0, new
                break
            damping, growth = damping * growth, 2 * growth
        else:
            break
        if (score := loss(layers, other)) < least:
            best, least = layers, score
    return best


def networks(out: Path) -> None:
    """Prints a table of the networks of a benchmark."""
    print("| task, seed | trained | 60 steps more | with learned knots |\n|---|---|---|---|")
    ratios = []
    for folder in sorted(out.glob("runs/sharp-*-error-best-*")):
        _, task, _, _, seed = folder.name.split("-")
        path = next(folder.rglob("last.ckpt"))
        module = restore_module(read_checkpoint(path), path)
        assert isinstance(module, RegressionModule)
        module.double()
        data = SharpData(task, seed=int(seed))
        parts = [data.build(part) for part in ("train", "validate", "test")]
        scaled = [
            (
                module.network_inputs(x.double()),
                (y.double() - module.target_mean) / module.target_std,
            )
            for x, y in parts
        ]
        truth = parts[2][1].double()

        def error(
            layers: list[Parameters],
            x: Tensor = scaled[2][0],
            truth: Tensor = truth,
            module: RegressionModule = module,
        ) -> float:
            y = predicted(layers, x) * module.target_std + module.target_mean
            return float((y - truth).norm() / truth.norm())

        with torch.no_grad():
            start = [Parameters.of(layer) for layer in module.network.layers]
            first, plain, learn = (
                error(layers)
                for layers in (
                    start,
                    *(trained(start, scaled[0], scaled[1], own) for own in (False, True)),
                )
            )
        ratios.append(learn / plain)
        print(f"| {task}, {seed} | {first:.1e} | {plain:.1e} | {learn:.1e} |", flush=True)
    print(f"geometric mean of learned over plain: {geometric_mean(ratios):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--networks", type=Path, help="folder of a benchmark with logs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.networks is not None:
        networks(options.networks)
        return
    for grid_size in (12, 24):
        splines(grid_size)


if __name__ == "__main__":
    main()
