"""Coefficients that are further inputs: their values are sampled and reach residuals by name."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from shapely import box
from torch import Tensor

from kanlit.data import EquationData
from kanlit.errors import ConfigurationError
from kanlit.nn import Jet
from kanlit.problems import (
    BoundaryValueProblem,
    Condition,
    Equation,
    Polygon,
    Unknown,
    dirichlet,
)
from kanlit.problems.window import with_bounds


class Decay(Equation):
    """``u_t = -rate u``, from ``start`` at 0: ``u = start exp(-rate t)``."""

    coordinates = ("t",)
    bounds = ((0.0, 1.0),)
    parameters: ClassVar[Any] = {"rate": (0.5, 2.0), "start": (-1.0, 1.0)}

    def residual(self, u_t: Tensor, u: Tensor, rate: Tensor) -> Tensor:
        return u_t + rate * u

    def conditions(self) -> list[Condition]:
        return [dirichlet("first", {"t": "low"}, lambda points: points[:, 2:3])]

    def solution(self, points: Tensor) -> Tensor:
        t, rate, start = points.split(1, 1)
        return start * torch.exp(-rate * t)


RANGES = torch.tensor([(0.0, 1.0), (0.5, 2.0), (-1.0, 1.0)]).double()


@pytest.mark.parametrize("sampling", ["grid", "uniform", "sobol", "residual"])
def test_values_are_drawn_with_the_points_over_their_whole_ranges(sampling: Any) -> None:
    count = None if sampling == "grid" else 2000
    data = EquationData(Decay(), 13, sampling, count, 40)
    assert (data.in_features, data.input_names) == (3, ("t", "rate", "start"))
    data.setup("fit")
    batch: Any = next(iter(data.train_dataloader()))
    x = batch["collocation"].double()
    torch.testing.assert_close(torch.stack(x.aminmax(dim=0), 1), RANGES, rtol=0, atol=0.02)
    torch.testing.assert_close(x.mean(0), RANGES.mean(1), rtol=0, atol=0.05)
    assert bool((batch["first"][:, 0] == 0).all())
    assert float(batch["first"][:, 1].std()) > 0.3  # the condition holds for all values
    torch.testing.assert_close(batch["first_values"], batch["first"][:, 2:])


def test_the_solution_has_no_residual_at_any_value() -> None:
    problem = BoundaryValueProblem(Decay())
    x = problem.domain.drawn(50, torch.Generator().manual_seed(0))

    class Exact:
        def __call__(self, points: Tensor) -> Tensor:
            return problem.solution(points)

        def jet(self, inputs: Jet) -> Jet:
            columns = [inputs[:, i : i + 1] for i in range(3)]
            t, rate, start = columns
            return start * torch.exp(-rate * t)

    ((_, found),) = problem.residuals(Exact(), {"collocation": x}).items()
    assert float(found.abs().max()) < 1e-14


def test_they_extend_a_polygon_in_time_and_stay_when_a_horizon_cuts_it() -> None:
    class Plate(Equation):
        coordinates = ("x", "y", "t")
        domain = Polygon(box(0, 0, 2, 1), axes=((0.0, 3.0),))
        parameters: ClassVar[Any] = {"diffusivity": (0.1, 0.2)}

        def residual(self, u_t: Tensor, u_xx: Tensor, u_yy: Tensor, diffusivity: Tensor) -> Tensor:
            return u_t - diffusivity * (u_xx + u_yy)

        def conditions(self) -> list[Condition]:
            return [dirichlet("walls", "boundary"), dirichlet("initial", {"t": "low"}, 1.0)]

    shorter = with_bounds(Plate(), 2, 0.0, 0.5)
    assert BoundaryValueProblem(shorter).domain.bounds == (
        (0.0, 2.0),
        (0.0, 1.0),
        (0.0, 0.5),
        (0.1, 0.2),
    )


def refused(**members: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        EquationData(type("Own", (Decay,), members)())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_parameters_that_cannot_be_are_refused_in_one_line() -> None:
    assert "ranges from 2 to 1: give two finite" in refused(parameters={"rate": (2.0, 1.0)})
    assert "must be a pair for each of rate" in refused(parameters={"rate": 2.0})
    assert "must be a dict of ranges by name" in refused(parameters=("rate", "start"))
    assert "parameter t of Own is a coordinate" in refused(parameters={"t": (0.0, 1.0)})
    ranges = dict(Decay.parameters)
    assert "unknown name rate: " in refused(parameters={"start": (0.0, 1.0)})
    words = refused(parameters=ranges | {"speed": (0.0, 1.0)})
    assert "parameter speed of Own is in no residual and changes no given value" in words
    words = refused(rate=Unknown(1.0))
    assert "unknown coefficient rate of Own has the name of something else" in words
    face = dirichlet("a", {"rate": "low"})
    assert "no coordinate 'rate': choose from t" in refused(conditions=lambda self: [face])
