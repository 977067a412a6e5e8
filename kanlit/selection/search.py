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
_STARTS, _SEMIFINALISTS, _FINALISTS = 6, 3, 2
_SHORT, _LONG, _PER_GRID = 10, 30, 30  # steps
_LEAST_GAIN = 1.0  # of the log evidence, to accept a finer grid
_LEAST_GAIN_OF_WIDTH = 5.0  # more, because the best of several starts is compared
_LEAST_GAIN_OF_RIDGE = 0.03  # of the squared error at rows left out
_COST_OF_CURVE = 2.0  # of the log evidence, because a curved edge has two strengths of its own
_CLEAN, _CLEAN_STARTS = 1e-4, 2  # variance of the noise below which any start fits well
_FINE = 1e-8  # variance of the noise below which the grid is refined instead
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
    network needs for it. The first is a linear function, over which every edge that may bend has to
    pay, and later those that the data bend. Each width has several random starts; the best are
    trained to the end. The width grows, and after it G, while the evidence gains.

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
    if hidden is None:
        best = SmoothNetwork(build((), first, generator), *large)
        best.hold_straight()
        best.train(_LONG + 2 * _SHORT)
        report(_line((), best))
    for widths in _WIDTHS if hidden is None else (tuple(hidden),):
        starts = _STARTS if widths else 1
        if best is not None and best.noise < _CLEAN:
            starts = min(starts, _CLEAN_STARTS)
        networks = [build(widths, first, generator) for _ in range(starts)]
        if best is not None and not _affordable(networks[0], len(many)):
            break
        fits = [SmoothNetwork(network, *small).train(_SHORT) for network in networks]
        fits = [fit.train(_SHORT) for fit in _best(fits, _SEMIFINALISTS)]
        clean = min(fit.noise for fit in fits) < _CLEAN
        finalists = _best(fits, 1 if clean else _FINALISTS)
        fits = [fit.on(*large).train(2 * _SHORT) for fit in finalists]
        found = _best(fits, 1)[0].train(_LONG)
        report(_line(widths, found))
        least = _LEAST_GAIN_OF_WIDTH if widths else 0.0
        if best is None or _gain(found, best) > least:
            best, chosen, waited = found, widths, 0
        elif widths:
            waited += 1
        if waited == _PATIENCE or best.noise < _FINE:
            break
    assert best is not None
    if hidden is None and not best.curved_edges:
        best = _unshrunk_unless_shrinking_gains(best, large)
    for size in _GRID_SIZES[1:] if grid_size is None and best.curved_edges else ():
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


def _best(fits: Sequence[SmoothNetwork], number: int) -> list[SmoothNetwork]:
    return sorted(fits, key=lambda fit: -fit.evidence)[:number]


def _gain(found: SmoothNetwork, best: SmoothNetwork) -> float:
    """Gain of the evidence, less the cost of the curves.

    Over a linear function, every edge that may bend has to pay. Between networks that bend, only
    those that the data bend do; otherwise a wide network would pay for what it has straightened.
    """
    curves = found.used_curves - best.used_curves if best.curved_edges else found.curved_edges
    return found.evidence - best.evidence - _COST_OF_CURVE * curves


def _unshrunk_unless_shrinking_gains(
    best: SmoothNetwork, rows: tuple[Tensor, Tensor]
) -> SmoothNetwork:
    """Least squares instead of a ridge regression, unless this gains at rows that are left out."""
    plain = best.on(*rows)
    plain.hold_unshrunk()
    plain.train(_SHORT)
    own, other = (float(fit.left_out_errors().square().mean()) for fit in (best, plain))
    return best if own < (1 - _LEAST_GAIN_OF_RIDGE) * other else plain


def _affordable(network: KAN, rows: int) -> bool:
    parameters = sum(p.numel() for p in network.parameters())
    return rows * parameters**2 <= _MOST_WORK


def _line(widths: Sequence[int], fit: SmoothNetwork) -> str:
    found = fit.optimizer.found
    assert found is not None
    straight = "" if fit.curved_edges else " (linear)"
    return (
        f"hidden {list(widths)}{straight}, G = {fit.layers[0].grid_size}: "
        f"log evidence {fit.evidence:.1f}, "
        f"{found.freedom:.1f} degrees of freedom, noise {fit.noise**0.5:.2g} of the targets' spread"
    )
