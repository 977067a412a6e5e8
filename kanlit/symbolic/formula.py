"""The formula of a trained network, in the units and names of its data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import sympy
import torch
from torch import Tensor

from kanlit.nn import KAN
from kanlit.scaling import Standardization
from kanlit.symbolic.compose import Edge, SplineEdge, compose, edges_of, numerics
from kanlit.symbolic.fit import times
from kanlit.symbolic.library import Array
from kanlit.symbolic.numeric import Composition
from kanlit.symbolic.refine import Template, refine
from kanlit.symbolic.search import Choice, Criterion, SearchResult, Trial, search
from kanlit.symbolic.smaller import SMALLER, smaller_networks
from kanlit.symbolic.tidy import is_other, regressed, tidied

__all__ = ["Formula", "OutputFormula", "find_formula", "steps"]

_ROWS = 2000  # samples for the refinement of constants
_SEARCHED = 600  # of these, during the search without noise
_LEAST_NOISE = 1e-4  # variance below which data count as free of noise
_TRIED = 25  # the same during the search, so that no long polynomial fits everything
_EXACT = 1e-12  # relative error below which no other form is tried
_STEPS = 60  # least-squares steps per formula during the search
_AS_ACCURATE = 1.1  # largest error of a smaller network, relative to that of the network
_CLOSE = 0.02  # largest error from which functions can be recognized, relative to the spread
_AS_NOISE = 1.05  # error relative to the noise at which no larger network is tried
_PER_NETWORK = 10  # steps for the progress bar
_POWERS = ("x^2", "x^3", "x^4")


@dataclass(frozen=True)
class OutputFormula:
    """The formula of one output.

    Attributes:
        expression: The formula in the symbols of the inputs.
        edges: All edges of the network whose formula it is, with their candidate functions.
        choice: The function that replaces each edge.
        unrefined: Relative L2 error on the samples before constants are refined.
        refined: The same after refinement.
    """

    expression: sympy.Expr
    edges: tuple[Edge, ...]
    choice: Choice
    unrefined: float
    refined: float


@dataclass(frozen=True)
class Formula:
    """The formulas of a network.

    Attributes:
        inputs: Symbols of the inputs.
        outputs: One formula per output.
    """

    inputs: tuple[sympy.Symbol, ...]
    outputs: tuple[OutputFormula, ...]

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All edges of the networks of the formulas."""
        return tuple({id(edge): edge for each in self.outputs for edge in each.edges}.values())

    @property
    def functions(self) -> dict[str, Any]:
        """Numpy functions of the edges that remain splines, by name."""
        return numerics([self.edges])

    @property
    def splines(self) -> list[Edge]:
        """The edges that a formula contains as splines."""
        names = {str(n.func) for each in self.outputs for n in each.expression.atoms(SplineEdge)}
        return [edge for edge in self.edges if edge.name in names]

    def __call__(self, x: Tensor) -> Tensor:
        """Values ``(n, out)``, float64, at ``(n, in)``; not finite outside the domain."""
        columns = []
        for output in self.outputs:
            template = Template(output.expression, self.inputs, self.functions)
            columns.append(template.values(x.double().numpy(), np.array(template.start)))
        return torch.from_numpy(np.stack(columns, axis=1))


def steps(edges: int, outputs: int, trials: int) -> int:
    """The number of steps that :func:`find_formula` counts."""
    return edges + outputs * (trials + SMALLER * (_PER_NETWORK + trials // 4))


def find_formula(
    network: KAN,
    x: Tensor,
    y: Tensor,
    scales: Standardization | None = None,
    names: Sequence[str] | None = None,
    threshold: float = 0.99,
    negligible: float = 1e-3,
    trials: int = 100,
    noise: float = 0.0,
    advance: Callable[[int], None] = lambda steps: None,
) -> Formula:
    r"""Finds a closed formula for a trained network.

    Each edge is fitted by :math:`c\,f(a x + b) + d` on its inputs at the samples. The functions are
    composed, :math:`\hat y = \mu_y + \sigma_y\,u((x - \mu_x) / \sigma_x)`. Then all constants are
    fitted to ``y`` together and replaced by simple numbers where possible. Edges that no function
    fits remain splines, named ``phi_LAYER_INPUT_OUTPUT``.

    The edges of a network with more nodes than the formula needs may be no known functions.
    Networks of no, one and two hidden nodes are therefore fitted to ``y`` first. The formula of one
    that is as accurate as the network is taken if it is exact or at least not less accurate than
    that of the network, or, if the targets are noisy, by the criterion.

    Args:
        network: u, in float64.
        x: Samples in the user's units ``(n, in)``, float64.
        y: Targets ``(n, out)``, float64; outputs of the network are possible, too.
        scales: μ and σ; 0 and 1 if omitted.
        names: Names of the inputs; x1, x2, … if omitted.
        threshold: Smallest R² at which a function replaces an edge.
        negligible: Fraction of the largest deviation at a node below which an edge is constant.
        trials: Number of formulas tried per output, see :func:`kanlit.symbolic.search.search`; a
            quarter for each smaller network.
        noise: Variance of the noise of standardized targets, if there is any: formulas are then
            compared by the Bayesian information criterion. By default, smaller networks that are
            as accurate as the network estimate it.
        advance: Called with the number of finished steps, ``steps`` in total.

    Source: fitting each edge follows Liu et al., arXiv 2404.19756, section 2.5.
    """
    names = list(names or (f"x{number + 1}" for number in range(x.shape[1])))
    symbols = tuple(sympy.Symbol(name, real=True) for name in names)
    known = scales or Standardization.from_samples(
        x.new_zeros(1, x.shape[1]), y.new_zeros(1, y.shape[1])
    )
    ends = known.input_mean.double(), known.input_std.double()
    layers = edges_of(network, x, threshold, negligible, *ends)
    advance(sum(map(len, layers)))
    rows = np.unique(np.linspace(0, len(x) - 1, min(len(x), _ROWS)).round().astype(int))
    points = x[rows]
    with torch.no_grad():
        outputs = network((points - ends[0]) / ends[1])
    found = []
    for q in range(y.shape[1]):
        mean, std = float(known.target_mean[q]), float(known.target_std[q])
        values = y[:, q][rows].numpy()
        target = _Target(symbols, points.numpy(), values, mean, std)
        error = float(np.std(outputs[:, q].numpy() * std + mean - values)) / target.spread
        budget = steps(0, 1, trials)

        def count(done: int) -> None:
            nonlocal budget
            budget -= done
            advance(done)

        best = _best(target, layers, q, ends, error, noise, (threshold, negligible), trials, count)
        advance(budget)
        found.append(_finished(target, *best))
    return Formula(symbols, tuple(found))


@dataclass(frozen=True)
class _Target:
    """Samples of the inputs ``(n, in)`` and of a target ``(n,)`` with mean μ and deviation σ."""

    symbols: Sequence[sympy.Symbol]
    x: Array
    y: Array
    mean: float
    std: float

    @property
    def spread(self) -> float:
        return float(np.std(self.y)) or 1.0

    def fewer(self) -> _Target:
        every = max(1, len(self.y) // _SEARCHED)
        return replace(self, x=self.x[::every], y=self.y[::every])


_Layers = list[list[Edge]]


def _best(
    target: _Target,
    layers: _Layers,
    output: int,
    ends: tuple[Tensor, Tensor],
    error: float,
    noise: float,
    limits: tuple[float, float],
    trials: int,
    advance: Callable[[int], None],
) -> tuple[_Layers, int, SearchResult]:
    """The formula of a network or of a smaller one, with its layers and output."""
    networks: list[_Layers] = []
    noises = [error**2]
    widths = [*(len({e.place[1] for e in edges}) for edges in layers), 1]
    few = target.fewer()
    x, y = (torch.from_numpy(np.ascontiguousarray(each)) for each in (few.x, few.y))
    scaled = (x - ends[0]) / ends[1], ((y - y.mean()) / target.spread)[:, None]
    for fit in smaller_networks(widths, *scaled):
        advance(_PER_NETWORK)
        network = fit.network.requires_grad_(False)
        its_error = float((network(scaled[0]) - scaled[1]).std())
        if its_error <= max(_AS_ACCURATE * error, _CLOSE):
            networks.append(edges_of(network, x, *limits, *ends))
            noises.append(fit.noise)
            if fit.noise < _LEAST_NOISE:
                break
    if not noise and networks:
        noise = min(noises)
    noise = noise if noise > _LEAST_NOISE else 0.0
    used = few if not noise else target
    criterion = Criterion(len(used.y), noise)
    scale = replace(used, mean=float(y.mean()), std=target.spread)
    found: list[tuple[_Layers, int, SearchResult]] = []
    for smaller in networks:
        if all(edge.fits or edge.negligible for edges in smaller for edge in edges):
            result = _searched(scale, smaller, 0, trials // 4, criterion, advance)
            found.append((smaller, 0, result))
            if result.error <= max(_EXACT, _AS_NOISE * noise**0.5):
                break
    exact = any(each[2].error <= _EXACT for each in found)
    if not found or not (noise or exact):
        result = _searched(used, layers, output, trials, criterion, advance)
        found = [each for each in found if each[2].error <= result.error]
        found.append((layers, output, result))
    return min(found, key=lambda each: each[2].score)


def _searched(
    target: _Target,
    layers: _Layers,
    output: int,
    trials: int,
    criterion: Criterion,
    advance: Callable[[int], None],
) -> SearchResult:
    """The best formula of an output of a network."""
    functions = numerics(layers)

    def refined(choice: Choice) -> Trial:
        network = Composition(layers, choice, output, target.mean, target.std)
        fitted, error = network.fitted(target.x, target.y, _STEPS)
        if error > _EXACT * target.spread and _has_powers_of_sums(choice):
            whole = _composed(target, layers, output, fitted)
            expanded = sympy.expand(whole)
            if is_other(expanded, whole, _TRIED):
                data = target.symbols, target.x, target.y, functions
                other, its_error = refine(regressed(expanded, *data), *data, _STEPS)
                if its_error < error:
                    constants = len(other.atoms(sympy.Float))
                    return Trial(its_error / target.spread, constants, lambda: other)
        return Trial(
            error / target.spread,
            len(network.start),
            partial(_composed, target, layers, output, fitted),
        )

    edges = [edge for edge in _reaching(layers, output) if edge.fits]
    return search(edges, refined, trials, criterion, advance)


def _composed(target: _Target, layers: _Layers, output: int, choice: Choice) -> sympy.Expr:
    """The formula of an output in the user's units."""
    whole = compose(layers, target.symbols, choice)[output]
    scaled = whole if target.std == 1 else times(sympy.Float(target.std), whole)
    return scaled + sympy.Float(target.mean) if target.mean else scaled


def _finished(target: _Target, layers: _Layers, output: int, best: SearchResult) -> OutputFormula:
    """The formula with refined and simplified constants, and its errors."""
    size = float(np.sqrt(np.mean(target.y**2))) or 1.0
    first = Composition(layers, best.choice, output, target.mean, target.std)
    unrefined = first.error(target.x, target.y, first.start)
    data = target.symbols, target.x, target.y, numerics(layers)
    expression, error = tidied(best.expression, *data)
    edges = tuple(edge for own in layers for edge in own)
    return OutputFormula(expression, edges, best.choice, unrefined / size, error / size)


def _reaching(layers: _Layers, output: int) -> list[Edge]:
    """The edges that can affect an output: none of their nodes has only negligible edges."""
    found: list[Edge] = []
    nodes = {output + 1}
    for edges in reversed(layers):
        inside = [edge for edge in edges if edge.place[2] in nodes and not edge.negligible]
        nodes = {edge.place[1] for edge in inside}
        found = inside + found
    return found


def _has_powers_of_sums(choice: Choice) -> bool:
    """Whether an edge behind a hidden node is a power, so that expansion gives products."""
    later = [fit for place, fit in choice.items() if place[0] > 1]
    return any(fit.candidate.name in _POWERS for fit in later)
