"""Unknown coefficients stay within their bounds, and residuals name them."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.nn import KAN
from kanlit.problems import BoundaryValueProblem, Condition, Equation, Unknown

UNKNOWNS = [
    Unknown(2.0),
    Unknown(-0.3),
    Unknown(1e-3, low=0.0),
    Unknown(-5.0, high=-1.0),
    Unknown(0.2, low=0.0, high=1.0),
]


@pytest.mark.parametrize("unknown", UNKNOWNS)
def test_it_starts_at_its_value_and_stays_within_its_bounds(unknown: Unknown) -> None:
    theta = torch.linspace(-12, 12, 101, dtype=torch.float64, requires_grad=True)
    found = unknown.at(theta)
    assert float(found[50].detach()) == pytest.approx(unknown.value, rel=1e-15)
    assert bool(((found > unknown.low) & (found < unknown.high)).all())
    (slopes,) = torch.autograd.grad(found.sum(), theta)
    assert bool((slopes > 0).all()) or bool((slopes < 0).all())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1.0, 2.0, 0.0), "has the bounds 2 and 0: give the lower one as low"),
        ((1.0, 0.0, 0.0), "has the bounds 0 and 0"),
        ((0.0, 0.0), "is not strictly between its bounds 0 and inf: start from a value inside"),
        ((3.0, 0.0, 1.0), "is not strictly between its bounds 0 and 1"),
        ((nan,), "is not strictly between"),
        ((inf,), "is not strictly between"),
        (("1.0",), "Unknown takes numbers, got '1.0'"),
        ((True,), "Unknown takes numbers, got True"),
    ],
)
def test_numbers_that_cannot_be_are_refused(arguments: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Unknown(*arguments)
    assert words in str(caught.value)


class Growth(Equation):
    """``u_x = a u``, with ``u_x = b`` at 0."""

    coordinates = ("x",)
    bounds = ((0.0, 1.0),)
    a = Unknown(3.0, low=0.0)
    b = Unknown(0.5)

    def residual(self, u_x: Tensor, u: Tensor, a: Tensor) -> Tensor:
        return u_x - a * u

    def conditions(self) -> list[Condition]:
        return [Condition("start", {"x": "low"}, lambda u_x, b: u_x - b)]


def test_residuals_and_conditions_see_the_values_that_are_given() -> None:
    problem = BoundaryValueProblem(Growth())
    assert list(problem.coefficients) == ["a", "b"]
    network = KAN([1, 2, 1], dtype=torch.float64)
    x = torch.rand(5, 1, dtype=torch.float64)
    batch = {"collocation": x, "start": x[:2] * 0}

    def columns(points: Tensor) -> dict[str, Tensor]:
        return {"a": 2 * torch.ones_like(points), "b": 7 * torch.ones_like(points)}

    start, given = problem.residuals(network, batch), problem.residuals(network, batch, columns)
    torch.testing.assert_close(given["pde"] - start["pde"], network(x))  # a is 2 and not 3
    (_, one), (_, other) = (
        problem.condition_residuals(network, batch, own)["start"] for own in (None, columns)
    )
    torch.testing.assert_close(one - other, torch.full_like(one, 6.5))


def test_a_coefficient_that_no_residual_names_is_refused() -> None:
    class Forgotten(Growth):
        c = Unknown(1.0)

    with pytest.raises(ConfigurationError) as caught:
        BoundaryValueProblem(Forgotten())
    assert str(caught.value) == (
        "unknown coefficient c of Forgotten is in no residual, so nothing can be learnt of it: add "
        "the parameter c to residual, and use it in place of self.c"
    )


def test_a_coefficient_with_the_name_of_a_derivative_is_refused() -> None:
    class Clash(Growth):
        u_x = Unknown(1.0)

    with pytest.raises(ConfigurationError, match="u_x of Clash has the name of something else"):
        BoundaryValueProblem(Clash())
