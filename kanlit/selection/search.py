"""Chooses the widths, the grid size and the start of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kanlit.nn import KAN
from kanlit.selection.fit import SmoothNetwork

__all__ = ["Selected", "select_network"]

_WIDTHS = ((), (1,), (2,), (3,), (5,), (8,), (12,))
_GRID_SIZES = (6, 10, 16, 24, 36, 54, 80)
_STARTS, _FINALISTS = 6, 2
_SHORT, _LONG, _PER_GRID = 20, 50, 30  # steps
_LEAST_GAIN = 1.0  # of the log evidence, to accept a finer grid
_LEAST_GAIN_OF_WIDTH = 5.0  # more, because the best of several starts is compared
_CLEAN, _CLEAN_STARTS = 1e-6, 2  # variance of the noise below which any start fits well
_PATIENCE = 2  # widths without a gain
_EXACT = 1e-15  # variance of the noise from which nothing can be gained
_ROWS_TO_START, _MOST_ROWS = 1000, 4000
_MOST_WORK = 2e9  # rows times squared parameters, multiplications of a step

Build = Callable[[Sequence[int], int, torch.Generator], KAN]


@dataclass(frozen=True)
class Selected:
    """A network and how it was chosen.

    Attributes:
        fit: The network, its optimizer and data.
        hidden: Hidden widths.
    """

    fit: SmoothNetwork
    hidden: tuple[int, ...]


def select_network(
    x: Tensor,
    y: Tensor,
    build: Build,
    hidden: Sequence[int] | None = None,
    grid_size: int | None = None,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> Selected:
    """Fits networks of growing size and keeps the one with the largest evidence.

    The evidence, the marginal likelihood of the data, weighs the fit against the freedom that the
    network needs for it. Each width has several random starts; the best are trained to the end.
    The width grows, and after it G, while the evidence gains.

    Args:
        x: Standardized inputs ``(n, in)``, float64.
        y: Standardized targets ``(n, out)``, float64.
        build: Creates a network in float64 from hidden widths, G and a random generator.
        hidden: Hidden widths; None chooses them.
        grid_size: G; None chooses it.
        seed: Seed of the starts and of the subset of rows of large data.
        report: Receives a line per size that was tried.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=generator)
    few, many = (order[:most].sort().values for most in (_ROWS_TO_START, _MOST_ROWS))
    small, large = (x[few], y[few]), (x[many], y[many])
    first = _GRID_SIZES[0] if grid_size is None else grid_size
    best: SmoothNetwork | None = None
    chosen: tuple[int, ...] = ()
    waited = 0
    for widths in _WIDTHS if hidden is None else (tuple(hidden),):
        starts = _STARTS if widths else 1
        if best is not None and best.noise < _CLEAN:
            starts = min(starts, _CLEAN_STARTS)
        networks = [build(widths, first, generator) for _ in range(starts)]
        if best is not None and not _affordable(networks[0], len(many)):
            break
        fits = [SmoothNetwork(network, *small).train(_SHORT) for network in networks]
        fits.sort(key=lambda fit: -fit.evidence)
        fits = [fit.on(*large).train(_LONG) for fit in fits[:_FINALISTS]]
        found = max(fits, key=lambda fit: fit.evidence)
        report(_line(widths, found))
        if best is None or found.evidence > best.evidence + _LEAST_GAIN_OF_WIDTH:
            best, chosen, waited = found, widths, 0
        else:
            waited += 1
        if waited == _PATIENCE or best.noise < _EXACT:
            break
    assert best is not None
    for size in _GRID_SIZES[1:] if grid_size is None else ():
        if best.noise < _EXACT:
            break
        finer = best.on(*large)
        finer.place_grids(size)
        if not _affordable(finer.network, len(many)):
            break
        finer.train(_PER_GRID)
        report(_line(chosen, finer))
        if not finer.evidence > best.evidence + _LEAST_GAIN:
            break
        best = finer
    return Selected(best, chosen)


def _affordable(network: KAN, rows: int) -> bool:
    parameters = sum(p.numel() for p in network.parameters())
    return rows * parameters**2 <= _MOST_WORK


def _line(widths: Sequence[int], fit: SmoothNetwork) -> str:
    found = fit.optimizer.found
    assert found is not None
    return (
        f"hidden {list(widths)}, G = {fit.layers[0].grid_size}: log evidence {fit.evidence:.1f}, "
        f"{found.freedom:.1f} degrees of freedom, noise {fit.noise**0.5:.2g} of the targets' spread"
    )
