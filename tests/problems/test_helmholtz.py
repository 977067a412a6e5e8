"""The Helmholtz problem: its exact solution solves it, and ill-posed ones are refused."""

from __future__ import annotations

import dataclasses
from math import pi, sqrt

import pytest
import torch

from kanlit.errors import ConfigurationError
from kanlit.problems import Helmholtz, uniform_points

PROBLEMS = [Helmholtz(1, 1, 1.0), Helmholtz(1, 2, 1.0), Helmholtz(2, 4, 0.0), Helmholtz(2, 2, 3.7)]


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_exact_solution_has_zero_residual(problem: Helmholtz) -> None:
    x = uniform_points(problem.bounds, 50, torch.Generator().manual_seed(0)).requires_grad_()
    u = problem.solution(x)
    (gradient,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    second = torch.stack(
        [
            torch.autograd.grad(gradient[:, axis].sum(), x, retain_graph=True)[0][:, axis]
            for axis in range(2)
        ],
        1,
    )
    value = problem.residual(u, second[:, :1], second[:, 1:], problem.source(x))
    assert value.shape == problem.source(x).shape == (50, 1)
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-10)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_exact_solution_vanishes_on_the_boundary(problem: Helmholtz) -> None:
    t = torch.linspace(-1, 1, 33, dtype=torch.float64)
    for end in (-1.0, 1.0):
        side = torch.full_like(t, end)
        for x in (torch.stack([t, side], 1), torch.stack([side, t], 1)):
            assert float(problem.solution(x).abs().max()) < 1e-14


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 2), (2, 2), (3, 5), (1, 40)])
def test_wavenumber_at_a_dirichlet_eigenvalue_is_refused(m: int, n: int) -> None:
    wavenumber = pi / 2 * sqrt(m**2 + n**2)
    with pytest.raises(ConfigurationError, match="not unique") as caught:
        Helmholtz(1, 1, wavenumber)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scaled", [0.0, 1.0, 3.0, 4.0, 9.0, 2.0001, 12.0])
def test_wavenumber_that_is_no_sum_of_two_squares_is_taken(scaled: float) -> None:
    Helmholtz(1, 1, pi / 2 * sqrt(scaled))  # k² = (π/2)² · scaled


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 1.0), "a1 .* got 0"),
        ((1, -2, 1.0), "a2 .* got -2"),
        ((1.5, 1, 1.0), "a1 .* got 1.5"),
        ((1, 1, -1.0), "wavenumber .* got -1.0"),
        ((1, 1, float("nan")), "wavenumber .* got nan"),
        ((1, 1, float("inf")), "wavenumber .* got inf"),
    ],
)
def test_arguments_out_of_range_are_refused_with_the_value(
    arguments: tuple[int, int, float], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Helmholtz(*arguments)


def test_problem_cannot_be_changed_past_its_checks() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Helmholtz(1, 1, 1.0).a1 = 0  # type: ignore[misc]
