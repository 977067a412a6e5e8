"""The criterion of the search, and the numeric model of a choice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sympy
import torch

from kanlit.nn import KAN
from kanlit.symbolic.compose import compose, edges_of
from kanlit.symbolic.numeric import Composition
from kanlit.symbolic.refine import Template
from kanlit.symbolic.search import Criterion, Trial, search


def test_noise_leaves_room_for_terms_that_reduce_the_error() -> None:
    # A term that lowers the error from 0.35 to 0.30 is real if the noise is 0.30.
    longer, shorter = (0.30, 12), (0.35, 8)
    noisy = Criterion(rows=2000, noise=0.09)
    assert noisy(*longer) < noisy(*shorter)
    assert noisy(0.2999, 13) > noisy(*longer)  # and one that fits the noise is not
    assert Criterion()(*shorter) < Criterion()(*longer)


def test_no_formula_gains_from_an_error_below_half_the_noise() -> None:
    noisy = Criterion(rows=100, noise=0.02)
    assert (
        noisy(1e-9, 5) == noisy(0.1, 5) == pytest.approx(100 * math.log(0.01) + 5 * math.log(100))
    )


@pytest.fixture
def network() -> KAN:
    return KAN([2, 2, 1], grid_size=4, dtype=torch.float64).requires_grad_(False)


@pytest.mark.parametrize("spline", [None, (1, 2, 1), (2, 1, 1)])
def test_the_numeric_model_is_the_composed_formula(
    network: KAN, spline: tuple[int, int, int] | None
) -> None:
    x = 2 * torch.rand(50, 2, dtype=torch.float64) - 1
    layers = edges_of(network, x, 0.5, mean=torch.full((2,), 0.1), std=torch.full((2,), 0.7))
    choice: dict[tuple[int, int, int], Any] = {
        e.place: e.plausible[0] for edges in layers for e in edges if e.plausible
    }
    assert len(choice) == 6
    if spline is not None:
        del choice[spline]
    model = Composition(layers, choice, 0, mean=0.3, std=2.0)
    symbols = sympy.symbols("a b", real=True)
    formula = sympy.Float(2.0) * compose(layers, symbols, choice)[0] + sympy.Float(0.3)
    functions = {edge.name: edge.values for edges in layers for edge in edges}
    template = Template(formula, symbols, functions)
    points, start = x.numpy(), model.start
    assert np.allclose(model.values(points, start), template.values(points, template.start))

    found = model.jacobian(points, start)
    steps = 1e-6 * np.eye(len(start))
    differences = [model.values(points, start + s) - model.values(points, start - s) for s in steps]
    assert np.allclose(found, np.stack(differences, 1) / 2e-6, rtol=1e-5, atol=1e-6)


def test_a_fit_of_the_numeric_model_recovers_its_own_values(network: KAN) -> None:
    x = 2 * torch.rand(80, 2, dtype=torch.float64) - 1
    layers = edges_of(network, x, 0.5)
    choice: dict[tuple[int, int, int], Any] = {
        e.place: e.plausible[0] for edges in layers for e in edges if e.plausible
    }
    model = Composition(layers, choice, 0)
    y = model.values(x.numpy(), model.start)
    moved = Composition(layers, model.with_constants(model.start * 1.02), 0)
    assert moved.fitted(x.numpy(), y, 100)[1] < 1e-6 * np.std(y)


def test_no_infinite_formula_is_chosen(network: KAN) -> None:
    x = 2 * torch.rand(50, 2, dtype=torch.float64) - 1
    edges = [edge for each in edges_of(network, x, 0.5) for edge in each if edge.fits]
    whole = sympy.Float(0.5) * sympy.Symbol("a") + sympy.Float(0.25)
    judged = []

    def refined(choice: Any) -> Trial:
        judged.append(choice)
        first = len(judged) == 1
        return Trial(0.1, 2, lambda: whole) if first else Trial(1e-6, 2, lambda: sympy.oo)

    best = search(edges, refined, 20)
    assert len(judged) > 1
    assert (best.expression, best.error) == (whole, 0.1)
