"""Chooses the widths, the grid size, the degree and the start of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kanlit.nn import KAN
from kanlit.selection.fit import MARGIN, SmoothNetwork

__all__ = ["Selected", "select_network"]

_WIDTHS = ((), (1,), (2,), (3,), (5,), (8,), (12,))
_GRID_SIZES = (6, 10, 16, 24, 36, 54, 80)
_ORDERS = 3, 5  # of splines, without noise the second
_MARGIN = 0.1  # of the grids, where the noise is negligible
_STARTS, _SEMIFINALISTS, _FINALISTS = 6, 3, 2
_SHORT, _LONG, _PER_GRID = 10, 30, 30  # steps
_LEAST_GAIN = 1.0  # of the log evidence, to accept a finer grid
_LEAST_GAIN_OF_WIDTH = 5.0  # more, because the best of several starts is compared
_LEAST_GAIN_OF_RIDGE = 0.03  # of the squared error at rows left out
_COST_OF_CURVE = 2.0  # of the log evidence, because a curved edge has two strengths of its own
_CLEAN, _CLEAN_STARTS = 1e-4, 2  # variance of the noise below which any start fits well
_FINE = 1e-8  # variance of the noise below which the grid is refined before the next width
_PATIENCE = 2  # widths without a gain
_LONGEST_PATIENCE = 4  # the same while the noise falls clearly below that of a sum
_FALLING = 0.85  # ratio of the variances of the noise from which it does
_ENOUGH = 1e-11  # variance of the noise below which the width no longer grows
_EXACT = 1e-15  # variance of the noise from which nothing can be gained
_ROWS_TO_START, _MOST_ROWS = 1000, 4000
_MOST_WORK = 2e9  # rows times squared parameters, multiplications of a step

Build = Callable[[Sequence[int], int, int, torch.Generator], KAN]
Rows = tuple[Tensor, Tensor]


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
    spline_order: int | None = None,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> Selected:
    """Fits networks of growing size and keeps the one with the largest evidence.

    The evidence, the marginal likelihood of the data, weighs the fit against the freedom that the
    network needs for it. The first is a linear function, over which every edge that may bend has to
    pay, and later those that the data bend. Each width has several random starts; the best are
    trained to the end. The width grows, and after it G, while the evidence gains; the width also
    grows on from a sum of functions while the noise falls clearly. Where the noise is negligible,
    splines of a higher degree are tried, and G grows before the width.

    Args:
        x: Standardized inputs ``(n, in)``, float64.
        y: Standardized targets ``(n, out)``, float64.
        build: Creates a network in float64 from hidden widths, G, degree and a random generator.
        hidden: Hidden widths; None chooses them.
        grid_size: G; None chooses it.
        spline_order: Degree of the splines; None chooses it.
        seed: Seed of the starts and of the subset of rows of large data.
        report: Receives a line per size that was tried.
    """
    first = _GRID_SIZES[0] if grid_size is None else grid_size
    sizes = _GRID_SIZES[1:] if grid_size is None else ()
    orders = _ORDERS if spline_order is None else (spline_order, spline_order)
    search = _Search(x, y, build, first, orders, seed, report)
    coarse = search.linear() if hidden is None else None  # the best with the first G
    best: SmoothNetwork | None = None  # the best of those whose grids are refined
    waited = 0
    for widths in _WIDTHS if hidden is None else (tuple(hidden),):
        found = search.fitted(widths, coarse)
        if found is None:
            break
        if coarse is None or _gain(found, coarse) > (_LEAST_GAIN_OF_WIDTH if widths else 0.0):
            coarse = search.without_noise(found) if found.noise < _CLEAN else found
            waited //= 2  # a late gain leaves less patience
            if coarse.noise < _FINE:
                refined = search.refined(coarse, sizes)
                if best is not None and not refined.evidence > best.evidence + _LEAST_GAIN:
                    break
                best = refined
        elif widths:
            waited += 1
        patience = _LONGEST_PATIENCE if _has_more(found, coarse) else _PATIENCE
        if waited >= patience or (best is not None and best.noise < _ENOUGH):
            break
    if best is None:
        assert coarse is not None
        if hidden is None and not coarse.curved_edges:
            coarse = _unshrunk_unless_shrinking_gains(coarse, search.many)
        best = search.refined(coarse, sizes) if coarse.curved_edges else coarse
    report(f"kept: {_size(best)}")
    return Selected(best, _hidden(best))


class _Search:
    """Fits networks of given sizes.

    Attributes:
        many: The rows for the final fit of each size.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        build: Build,
        grid_size: int,
        orders: tuple[int, int],
        seed: int,
        report: Callable[[str], None],
    ) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(x), generator=self._generator)
        few, many = (rows[:most].sort().values for most in (_ROWS_TO_START, _MOST_ROWS))
        self._few, self.many = (x[few], y[few]), (x[many], y[many])
        self._build, self._grid_size, self._report = build, grid_size, report
        self._order, self._highest = orders
        self._margin = MARGIN

    def linear(self) -> SmoothNetwork:
        """A linear function."""
        fit = SmoothNetwork(self._built(()), *self.many)
        fit.hold_straight()
        fit.train(_LONG + 2 * _SHORT)
        self._report(_line(fit))
        return fit

    def fitted(self, widths: Sequence[int], best: SmoothNetwork | None) -> SmoothNetwork | None:
        """The best of several starts; None if a step would be too much work, unless it is all."""
        starts = _STARTS if widths else 1
        if best is not None and best.noise < _CLEAN:
            starts = min(starts, _CLEAN_STARTS)
        networks = [self._built(widths) for _ in range(starts)]
        if best is not None and not self._affordable(networks[0]):
            return None
        fits = [
            SmoothNetwork(network, *self._few, margin=self._margin).train(_SHORT)
            for network in networks
        ]
        fits = [fit.train(_SHORT) for fit in _best(fits, _SEMIFINALISTS)]
        clean = min(fit.noise for fit in fits) < _CLEAN
        finalists = _best(fits, 1 if clean else _FINALISTS)
        fits = [fit.on(*self.many).train(2 * _SHORT) for fit in finalists]
        found = _best(fits, 1)[0].train(_LONG)
        self._report(_line(found))
        return found

    def without_noise(self, best: SmoothNetwork) -> SmoothNetwork:
        """A network without noise, with a higher degree if the evidence gains.

        Later networks have that degree, too, and their grids reach beyond the data: hidden units of
        new rows leave the range of the others, and outside its grid a function is continued as a
        line, with an error far above that inside.
        """
        if (self._order, best.margin) == (self._highest, _MARGIN):
            return best
        before, self._order = self._order, self._highest
        best.margin = self._margin = _MARGIN
        network = self._built(_hidden(best))
        if self._affordable(network):
            found = best.projected(network)
            found.place_grids()
            self._report(_line(found.train(_PER_GRID)))
            if found.evidence > best.evidence + _LEAST_GAIN:
                return found
        self._order = before
        return best

    def refined(self, best: SmoothNetwork, sizes: Sequence[int]) -> SmoothNetwork:
        """The network with the largest G that gains."""
        for size in sizes:
            if best.noise < _EXACT:
                break
            finer = best.on(*self.many)
            finer.place_grids(size)
            if not self._affordable(finer.network):
                break
            finer.train(_PER_GRID)
            self._report(_line(finer))
            if not finer.evidence > best.evidence + _LEAST_GAIN:
                break
            best = finer
        return best

    def _built(self, widths: Sequence[int]) -> KAN:
        return self._build(widths, self._grid_size, self._order, self._generator)

    def _affordable(self, network: KAN) -> bool:
        parameters = sum(p.numel() for p in network.parameters())
        return len(self.many[0]) * parameters**2 <= _MOST_WORK


def _best(fits: Sequence[SmoothNetwork], number: int) -> list[SmoothNetwork]:
    return sorted(fits, key=lambda fit: -fit.evidence)[:number]


def _gain(found: SmoothNetwork, best: SmoothNetwork) -> float:
    """Gain of the evidence, less the cost of the curves.

    Over a linear function, every edge that may bend has to pay. Between networks that bend, only
    those that the data bend do; otherwise a wide network would pay for what it has straightened.
    """
    curves = found.used_curves - best.used_curves if best.curved_edges else found.curved_edges
    return found.evidence - best.evidence - _COST_OF_CURVE * curves


def _has_more(found: SmoothNetwork, best: SmoothNetwork) -> bool:
    """Whether the noise is clearly lower than that of a sum of functions, the best so far.

    Then the sum lacks interactions, though the evidence may gain only with more hidden units.
    """
    several = best.network.widths[0] > 1
    a_sum = several and not _hidden(best) and best.curved_edges > 0
    return a_sum and found.noise < _FALLING * best.noise


def _unshrunk_unless_shrinking_gains(best: SmoothNetwork, rows: Rows) -> SmoothNetwork:
    """Least squares instead of a ridge regression, unless this gains at rows that are left out."""
    plain = best.on(*rows)
    plain.hold_unshrunk()
    plain.train(_SHORT)
    own, other = (float(fit.left_out_errors().square().mean()) for fit in (best, plain))
    return best if own < (1 - _LEAST_GAIN_OF_RIDGE) * other else plain


def _hidden(fit: SmoothNetwork) -> tuple[int, ...]:
    return tuple(fit.network.widths[1:-1])


def _size(fit: SmoothNetwork) -> str:
    straight = "" if fit.curved_edges else " (linear)"
    first = fit.layers[0]
    return (
        f"hidden {list(_hidden(fit))}{straight}, G = {first.grid_size}, degree {first.spline_order}"
    )


def _line(fit: SmoothNetwork) -> str:
    found = fit.optimizer.found
    assert found is not None
    return (
        f"{_size(fit)}: log evidence {fit.evidence:.1f}, "
        f"{found.freedom:.1f} degrees of freedom, noise {fit.noise**0.5:.2g} of the targets' spread"
    )
