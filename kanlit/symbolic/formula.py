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

_ROWS = 2000  # samples for the refinement of constants
_EXPANDED = 60  # largest number of terms of an expanded formula
_TRIED = 25  # the same during the search, so that no long polynomial fits everything
_SIMPLIFIED = 40  # largest number of operations for sympy.simplify
_EXACT = 1e-12  # relative error below which no other form is tried
_ROUNDS = 4
_STEPS = 60  # least-squares steps per formula during the search


@dataclass(frozen=True)
class OutputFormula:
    """The formula of one output.

    Attributes:
        expression: The formula in the symbols of the inputs.
        choice: The function that replaces each edge.
        unrefined: Relative L2 error on the samples before constants are refined.
        refined: The same after refinement.
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
        outputs: One formula per output.
        edges: All edges with their candidate functions.
    """

    inputs: tuple[sympy.Symbol, ...]
    outputs: tuple[OutputFormula, ...]
    edges: tuple[Edge, ...]

    @property
    def functions(self) -> dict[str, Any]:
        """Numpy functions of the edges that remain splines, by name."""
        return numerics([self.edges])

    def __call__(self, x: Tensor) -> Tensor:
        """Values ``(n, out)``, float64, at ``(n, in)``; not finite outside the domain."""
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
    r"""Finds a closed formula for a trained network.

    Each edge is fitted by :math:`c\,f(a x + b) + d` on its inputs at the samples. The functions are
    composed, :math:`\hat y = \mu_y + \sigma_y\,u((x - \mu_x) / \sigma_x)`. Then all constants are
    fitted to ``y`` together and replaced by simple numbers where possible. Edges that no function
    fits remain splines, named ``phi_LAYER_INPUT_OUTPUT``.

    Args:
        network: u, in float64.
        x: Samples in the user's units ``(n, in)``, float64.
        y: Targets ``(n, out)``, float64; outputs of the network are possible, too.
        scales: μ and σ; 0 and 1 if omitted.
        names: Names of the inputs; x1, x2, … if omitted.
        threshold: Smallest R² at which a function replaces an edge.
        negligible: Fraction of the largest deviation at a node below which an edge is constant.
        trials: Number of formulas tried per output, see :func:`kanlit.symbolic.search.search`.

    Source: fitting each edge follows Liu et al., arXiv 2404.19756, section 2.5.
    """
    names = list(names or (f"x{number + 1}" for number in range(x.shape[1])))
    symbols = tuple(sympy.Symbol(name, real=True) for name in names)
    known = scales or Standardization.from_samples(
        x.new_zeros(1, x.shape[1]), y.new_zeros(1, y.shape[1])
    )
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
    """Whether an edge can affect an output; last-layer edges affect only their own output."""
    layer, _, q = edge.place
    return layer < layers or q == output + 1


def _is_other(expanded: sympy.Expr, expression: sympy.Expr, most: int = _EXPANDED) -> bool:
    """Whether expansion has given another formula that is not too long.

    Each product then has its own coefficient, which least squares can find more easily than the
    coupled constants in squares of sums.
    """
    return expanded != expression and len(sympy.Add.make_args(expanded)) <= most


def _tidied(
    expression: sympy.Expr,
    symbols: Sequence[sympy.Symbol],
    x: Array,
    y: Array,
    functions: Mapping[str, Any],
) -> tuple[sympy.Expr, float]:
    """The simplest form of a formula, with refined and simplified constants.

    If a network represents a product by squares, expansion removes the squares.
    """
    forms = [expression]
    expanded = sympy.expand(expression)
    if _is_other(expanded, expression):
        forms.append(expanded)
    spread = float(np.std(y)) or 1.0
    found: list[tuple[float, int, sympy.Expr, float]] = []
    for form in forms:
        snapped, error = form, np.inf
        for _ in range(_ROUNDS):  # repeat, because equal terms are merged
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
    """The equivalent form by sympy with the fewest functions and operations."""
    forms = [expression, sympy.powsimp(expression), sympy.factor_terms(expression)]
    if expression.has(sympy.tanh):  # tanh(artanh(a) + artanh(b)) has no functions left
        forms.append(sympy.expand_trig(expression))
    if not expression.atoms(sympy.Float) and sympy.count_ops(expression) <= _SIMPLIFIED:
        forms.append(sympy.simplify(forms[-1]))  # takes minutes with decimals
    return min(forms, key=lambda form: (_functions(form), sympy.count_ops(form)))


def _functions(expression: sympy.Expr) -> int:
    return len(expression.atoms(sympy.Function))
