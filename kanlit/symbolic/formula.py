"""The formula of a trained network, in the units and names of its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
import torch
from torch import Tensor

from kanlit.nn import KAN
from kanlit.scaling import Standardization
from kanlit.symbolic.compose import Edge, Place, compose, edges_of, numerics
from kanlit.symbolic.fit import CurveFit
from kanlit.symbolic.library import Array
from kanlit.symbolic.refine import Template, refine, snap
from kanlit.symbolic.search import Choice, search

__all__ = ["Formula", "OutputFormula", "find_formula"]

_ROWS = 2000  # samples that constants are refined on
_EXPANDED = 60  # terms up to which a formula is multiplied out
_TRIED = 25  # and up to which one that is tried is: no polynomial that fits anything
_SIMPLIFIED = 40  # operations up to which sympy is asked to simplify
_EXACT = 1e-12  # relative error under which no other form is looked for
_ROUNDS = 4
_STEPS = 60  # of least squares for a formula that is tried


@dataclass(frozen=True)
class OutputFormula:
    """The formula of one output.

    Attributes:
        expression: In the symbols of the inputs.
        choice: The function that each edge has been taken for.
        unrefined: Relative L2 error, on the samples, of the edges' own functions put together.
        refined: The same of the formula.
    """

    expression: sympy.Expr
    choice: Mapping[Place, CurveFit]
    unrefined: float
    refined: float


@dataclass(frozen=True)
class Formula:
    """The formulas of a network.

    Attributes:
        inputs: Symbols of the inputs.
        outputs: One formula an output.
        edges: Every edge, with what it may be.
    """

    inputs: tuple[sympy.Symbol, ...]
    outputs: tuple[OutputFormula, ...]
    edges: tuple[Edge, ...]

    @property
    def functions(self) -> dict[str, Any]:
        """Numpy functions of the edges that stay splines, by name."""
        return numerics([self.edges])

    def __call__(self, x: Tensor) -> Tensor:
        """Values ``(n, out)``, float64, at ``x`` ``(n, in)``; not finite off a formula's domain."""
        columns = []
        for output in self.outputs:
            template = Template(output.expression, self.inputs, self.functions)
            columns.append(template.values(x.double().numpy(), np.array(template.start)))
        return torch.from_numpy(np.stack(columns, axis=1))


def find_formula(
    network: KAN,
    x: Tensor,
    y: Tensor,
    scales: Standardization | None = None,
    names: Sequence[str] | None = None,
    threshold: float = 0.99,
    negligible: float = 1e-3,
    trials: int = 100,
) -> Formula:
    r"""Reads a closed formula off a network.

    Each edge is fitted by :math:`c\,f(a x + b) + d` over the samples that reach it, the functions
    are put together, :math:`\hat y = \mu_y + \sigma_y\,u((x - \mu_x) / \sigma_x)`, and all
    constants are fitted to ``y`` together and brought to simple numbers. Edges that no function
    fits stay splines, named ``phi_LAYER_INPUT_OUTPUT``.

    Args:
        network: u, in float64.
        x: Samples in the user's units ``(n, in)``, float64.
        y: Targets at these ``(n, out)``, float64; the network's own outputs do as well.
        scales: μ and σ; left out, 0 and 1.
        names: Names of the inputs; left out, x1, x2, …
        threshold: Least R² of a function that an edge is taken for.
        negligible: Share of the largest deviation at a node under which an edge is a constant.
        trials: Formulas of an output that are tried, see :func:`kanlit.symbolic.search.search`.

    Source: the fit edge by edge is that of Liu et al., arXiv 2404.19756, section 2.5.
    """
    names = list(names or (f"x{number + 1}" for number in range(x.shape[1])))
    symbols = tuple(sympy.Symbol(name, real=True) for name in names)
    known = scales or Standardization.of(x.new_zeros(1, x.shape[1]), y.new_zeros(1, y.shape[1]))
    layers = edges_of(network, x, threshold, negligible, known.input_mean, known.input_std)
    functions = numerics(layers)
    every = [edge for edges in layers for edge in edges]
    rows = np.unique(np.linspace(0, len(x) - 1, min(len(x), _ROWS)).round().astype(int))
    points = x.numpy()[rows]
    outputs = []
    for q in range(y.shape[1]):
        targets = y[:, q].numpy()[rows]
        size = float(np.sqrt(np.mean(targets**2))) or 1.0
        spread = float(np.std(targets)) or 1.0
        mean, std = float(known.target_mean[q]), float(known.target_std[q])

        def composed(choice: Choice, q: int = q, mean: float = mean, std: float = std) -> Any:
            output = compose(layers, symbols, choice)[q]
            scaled = output if std == 1 else sympy.Float(std) * output
            return sympy.expand_mul(scaled + sympy.Float(mean) if mean else scaled)

        def refined(
            choice: Choice, targets: Array = targets, spread: float = spread
        ) -> tuple[sympy.Expr, float]:
            whole = composed(choice)
            found, error = refine(whole, symbols, points, targets, functions, _STEPS)
            expanded = sympy.expand(whole)
            if error > _EXACT * spread and _is_other(expanded, whole, _TRIED):
                other, its_error = refine(expanded, symbols, points, targets, functions, _STEPS)
                if its_error < error:
                    found, error = other, its_error
            return found, error / spread

        open_edges = [edge for edge in every if edge.fits and _reaches(edge, q, len(layers))]
        best = search(open_edges, refined, trials)
        first = Template(composed(best.choice), symbols, functions)
        unrefined = first.error(points, targets, np.array(first.start))
        expression, error = _tidied(best.expression, symbols, points, targets, functions)
        outputs.append(OutputFormula(expression, best.choice, unrefined / size, error / size))
    return Formula(symbols, tuple(outputs), tuple(every))


def _reaches(edge: Edge, output: int, layers: int) -> bool:
    """Whether an edge can be in the formula of an output: those of others' last edges are not."""
    layer, _, q = edge.place
    return layer < layers or q == output + 1


def _is_other(expanded: sympy.Expr, expression: sympy.Expr, most: int = _EXPANDED) -> bool:
    """Whether multiplying out has made another formula, and not too long a one.

    In it the coefficient of each product is a constant of its own: least squares find these where
    they get stuck on what the squares of sums have in common.
    """
    return expanded != expression and len(sympy.Add.make_args(expanded)) <= most


def _tidied(
    expression: sympy.Expr,
    symbols: Sequence[sympy.Symbol],
    x: Array,
    y: Array,
    functions: Mapping[str, Any],
) -> tuple[sympy.Expr, float]:
    """The simplest of the forms of a formula whose constants are refined and simple.

    Multiplied out, a product that a network has made of squares loses the squares.
    """
    forms = [expression]
    expanded = sympy.expand(expression)
    if _is_other(expanded, expression):
        forms.append(expanded)
    spread = float(np.std(y)) or 1.0
    found: list[tuple[float, int, sympy.Expr, float]] = []
    for form in forms:
        snapped, error = form, np.inf
        for _ in range(_ROUNDS):  # terms that have become alike are added up: then once more
            before = snapped
            refined, _ = refine(snapped, symbols, x, y, functions)
            snapped, error = snap(refined, symbols, x, y, functions)
            if sympy.count_ops(snapped) == sympy.count_ops(before):
                break
        shortest = _shortest(snapped)
        length = sympy.count_ops(shortest) + 3 * len(shortest.atoms(sympy.Float))
        score = float(np.log10(max(error / spread, _EXACT))) + length / 50
        found.append((score, len(found), shortest, error))
    _, _, best, error = min(found)
    return best, error


def _shortest(expression: sympy.Expr) -> sympy.Expr:
    """Of the forms that sympy makes of a formula, the one with the fewest operations."""
    forms = [expression, sympy.powsimp(expression), sympy.factor_terms(expression)]
    if expression.has(sympy.tanh):  # tanh(artanh(a) + artanh(b)) has no functions left
        forms.append(sympy.expand_trig(expression))
    if not expression.atoms(sympy.Float) and sympy.count_ops(expression) <= _SIMPLIFIED:
        forms.append(sympy.simplify(forms[-1]))  # minutes, where there are decimals
    return min(forms, key=lambda form: (_functions(form), sympy.count_ops(form)))


def _functions(expression: sympy.Expr) -> int:
    return len(expression.atoms(sympy.Function))
