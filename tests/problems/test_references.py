"""Spectral references: they solve their equations, and do not depend on their resolution."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import factorial
from typing import Any

import pytest
import torch
from torch import Tensor

from kanlit.problems import AllenCahn, GrayScott, KdV, KuramotoSivashinsky
from kanlit.problems.equations.periodic_evolution import PeriodicEvolution
from kanlit.problems.equations.spectral import PeriodicReference

# Parameters, modes and steps that are cheap; the defaults are checked in the docstrings.
REFERENCES = [
    (KdV(0.1), 96, 1000),
    (KuramotoSivashinsky(), 256, 2000),
    (AllenCahn(0.01), 256, 1000),
    (GrayScott(0.05), 96, 1000),
]
each_reference = pytest.mark.parametrize(
    ("equation", "modes", "steps"), REFERENCES, ids=lambda value: type(value).__name__
)


def some_points(equation: PeriodicEvolution) -> Tensor:
    """Where the reference is smooth: 45 points from t = 0.1 to 0.4."""
    low, high = equation.bounds[0]
    x = torch.linspace(low, high, 9, dtype=torch.float64)
    return torch.cartesian_prod(x, torch.linspace(0.1, 0.4, 5, dtype=torch.float64))


def difference(field: Callable[[Tensor], Tensor], points: Tensor, axis: int, order: int) -> Tensor:
    """A derivative by central differences on nine points."""
    step = (0.004, 0.01)[axis == 0]
    offsets = torch.arange(-4, 5, dtype=torch.float64)
    moments = torch.zeros(9, dtype=torch.float64)
    moments[order] = factorial(order)
    weights = torch.linalg.solve(offsets ** torch.arange(9).unsqueeze(1), moments)
    direction = torch.eye(2, dtype=torch.float64)[axis] * step
    values = [field(points + offset * direction) for offset in offsets]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / step**order  # type: ignore[return-value]


@each_reference
def test_the_reference_solves_the_equation(equation: Any, modes: int, steps: int) -> None:
    field, points = equation.reference(modes, steps), some_points(equation)
    terms = {}
    for name in inspect.signature(equation.residual).parameters:
        if name in equation.coordinates:
            terms[name] = points[:, [equation.coordinates.index(name)]]
            continue
        unknown, _, along = name.partition("_")
        axis = equation.coordinates.index(along[0]) if along else 0
        column = equation.unknowns.index(unknown)
        terms[name] = difference(field, points, axis, len(along))[:, column : column + 1]
    found = equation.residual(**terms)
    scale = max(float(term.abs().max()) for term in terms.values())
    for residual in found.values() if isinstance(found, dict) else [found]:
        assert float(residual.abs().max()) < 1e-5 * scale


@each_reference
def test_two_resolutions_agree(equation: Any, modes: int, steps: int) -> None:
    points = some_points(equation)
    coarse = equation.reference(modes, steps)(points)
    fine = equation.reference(modes * 3 // 2, 2 * steps)(points)
    torch.testing.assert_close(coarse, fine, rtol=0, atol=1e-5)


def test_the_solution_starts_from_the_initial_field_and_is_computed_once() -> None:
    class Counted(GrayScott):
        calls = 0

        def reference(self, modes: int = 64, steps: int = 1000) -> PeriodicReference:
            Counted.calls += 1
            return super().reference(modes, steps)

    equation = Counted(0.1)
    x = torch.linspace(-1, 1, 11, dtype=torch.float64)
    start, later = (torch.stack([x, torch.full_like(x, t)], 1) for t in (0.0, 0.3))
    assert torch.equal(equation.solution(start), equation.initial(start))
    values = equation.solution(later)
    torch.testing.assert_close(values[0], values[-1])
    assert Counted.calls == 1
