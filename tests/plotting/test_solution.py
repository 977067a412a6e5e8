"""Pictures of a differential equation: fields, errors, residual, points and breakpoints."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from kanlit import Equation
from kanlit.callbacks.equation_figures import knot_places
from kanlit.modules import PDEModule
from kanlit.plotting import InputKnots, points_figure, solution_figure
from kanlit.problems import AllenCahn
from kanlit.problems.functions.target import grid_points

BOUNDS = ((-1.0, 1.0), (0.0, 2.0))
POINTS = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)).double()


def predict(x: Tensor) -> Tensor:
    return torch.stack([x[:, 0] + 10 * x[:, 1], x.prod(1)], 1)


def truth(x: Tensor) -> Tensor:
    return predict(x) + torch.tensor([0.5, -0.25], dtype=x.dtype)


def residual(x: Tensor) -> Tensor:
    return 1e-3 + x[:, 1]


def drawn(reference: Any = None, knots: Any = (), unknowns: tuple[str, ...] = ("u", "v")) -> Figure:
    def chosen(x: Tensor) -> Tensor:
        return predict(x)[:, : len(unknowns)]

    return solution_figure(
        BOUNDS, ("x", "t"), unknowns, chosen, residual, POINTS, knots, reference, "title"
    )


def artists(figure: Figure) -> dict[str, Any]:
    return {gid: a for a in figure.findobj() if (gid := a.get_gid()) is not None}


def test_maps_are_the_fields_their_errors_and_the_residual() -> None:
    shown = artists(drawn(truth))
    x = grid_points(BOUNDS, 161)
    expected = {
        "prediction:u": predict(x)[:, 0],
        "reference:v": truth(x)[:, 1],
        "error:u": torch.full((161 * 161,), 0.5),
        "error:v": torch.full((161 * 161,), 0.25),
        "residual": residual(x),
        "residual under points": residual(x),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(shown[name].get_array(), values.view(161, 161).T)
        assert shown[name].get_extent() == [-1, 1, 0, 2]
    scale = shown["reference:u"].norm
    assert (shown["prediction:u"].norm.vmin, shown["prediction:u"].norm.vmax) == (
        scale.vmin,
        scale.vmax,
    )


def test_points_are_drawn_over_the_residual_within_the_domain() -> None:
    points = artists(drawn(truth))["points"]
    np.testing.assert_array_equal(np.stack(points.get_data(), 1), POINTS)
    assert points.axes.get_title() == "|residual| and training points"
    assert (*points.axes.get_xlim(), *points.axes.get_ylim()) == (-1, 1, 0, 2)


@pytest.mark.parametrize("unknowns", [("u",), ("u", "v")])
def test_without_a_reference_there_is_neither_it_nor_an_error(unknowns: tuple[str, ...]) -> None:
    figure = drawn(unknowns=unknowns)
    maps = {name for name in artists(figure) if not name.startswith(("knots", "points", "title"))}
    assert maps == {
        *(f"prediction:{name}" for name in unknowns),
        "residual",
        "residual under points",
    }
    words = [axes.get_title() for axes in figure.axes]
    assert not any("reference" in word or "error" in word for word in words)


def test_breakpoints_are_ticks_along_their_coordinate_one_input_beyond_the_other() -> None:
    places = [torch.tensor(p).double() for p in ([-0.5, 0.5], [0.25], [0.5, 1.5, 2.5])]
    knots = [InputKnots(name, int(name == "t"), p) for name, p in zip("abt", places, strict=True)]
    shown = artists(drawn(knots=knots))
    for i, inside in enumerate(([-0.5, 0.5], [0.25], [0.5, 1.5])):
        ticks = shown[f"knots:{i}"]
        assert isinstance(ticks, LineCollection)
        axis = int(i == 2)
        np.testing.assert_allclose([s[0, axis] for s in ticks.get_segments()], inside)
    start = [float(shown[f"knots:{i}"].get_segments()[0][:, 1].min()) for i in (0, 1)]
    assert start[1] > start[0] > 1


def test_residual_that_vanishes_or_is_not_finite_can_be_drawn() -> None:
    for value in (0.0, math.nan):

        def constant(x: Tensor, value: float = value) -> Tensor:
            return torch.full((len(x),), value)

        points_figure(constant, BOUNDS, POINTS, "xt")
        solution_figure(BOUNDS, "xt", "u", lambda x: x[:, :1], constant, POINTS, ())


def test_redrawn_points_are_drawn_over_the_residual() -> None:
    shown = artists(points_figure(residual, BOUNDS, POINTS, ("x", "t")))
    x = grid_points(BOUNDS, 161)
    np.testing.assert_allclose(shown["residual"].get_array(), residual(x).view(161, 161).T)
    np.testing.assert_array_equal(np.stack(shown["points"].get_data(), 1), POINTS)


class Mixed(Equation):
    """Inputs of one coordinate, of both, and of none."""

    coordinates = ("x", "t")
    bounds = BOUNDS

    def inputs(self, x: Any, t: Any) -> dict[str, Any]:
        return {"both": x * t, "square": t**2, "x": x, "constant": 0 * x}

    def residual(self, u_t: Tensor) -> Tensor:
        return u_t


def solver(equation: Equation, in_features: int) -> PDEModule:
    module = PDEModule(in_features, 1, hidden=[])
    module.problem = equation
    return module.double()


def test_breakpoints_lie_where_an_input_of_one_coordinate_takes_their_values() -> None:
    breakpoints = torch.linspace(-1, 1, 5).repeat(4, 1)
    found = {each.name: each for each in knot_places(solver(Mixed(), 4), breakpoints)}

    assert set(found) == {"square", "x"}
    assert (found["square"].axis, found["x"].axis) == (1, 0)
    torch.testing.assert_close(found["x"].places, breakpoints[0].double())
    expected = torch.tensor([0, math.sqrt(0.5), 1]).double()
    torch.testing.assert_close(found["square"].places, expected, atol=1e-6, rtol=0)


def test_breakpoints_of_a_periodic_coordinate_are_on_both_halves_of_the_circle() -> None:
    breakpoints = torch.tensor([[-0.5, 0.5], [-0.5, 0.5], [0.25, 0.5]])
    places = list(knot_places(solver(AllenCahn(), 3), breakpoints))

    assert [(each.name, each.axis) for each in places] == [("cos(x)", 0), ("sin(x)", 0), ("t", 1)]
    cosine = torch.cos(math.pi * (places[0].places + 1))
    torch.testing.assert_close(
        cosine, torch.tensor([0.5, -0.5, -0.5, 0.5]).double(), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(places[2].places, torch.tensor([0.25, 0.5]).double())
