"""Unknowns with a network of their own, of some of the coordinates."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.problems import BoundaryValueProblem, Equation


class Heat(Equation):
    """``u_t = (a u_x)_x`` with a field a(x)."""

    coordinates = ("x", "t")
    unknowns = ("u", "a")
    bounds = ((0.0, 2.0), (0.0, 1.0))
    parameters: ClassVar[Any] = {"rate": (0.5, 2.0)}
    fields: ClassVar[Any] = {"a": ("x",)}

    def residual(self, u_t: Tensor, u_xx: Tensor, u_x: Tensor, a: Tensor, a_x: Tensor) -> Tensor:
        return u_t - a_x * u_x - a * u_xx

    def source(self, points: Tensor) -> Tensor:
        return points[:, 2:]  # so that the rate has an effect


class Ring(Heat):
    periodic: ClassVar[Any] = {"x": 2.0}


class Turned(Heat):
    def inputs(self, x: Tensor, t: Tensor, rate: Tensor) -> list[Tensor]:
        return [x + t, torch.sin(x), t, rate]


class Mixed(Heat):
    def inputs(self, x: Tensor, t: Tensor) -> list[Tensor]:
        return [x + t, x - t]


@pytest.mark.parametrize(
    ("equation", "names", "inputs"),
    [
        (Heat, ("x",), [True, False, False]),
        (Heat, ("x", "rate"), [True, False, True]),
        (Ring, ("x",), [True, True, False, False]),  # the cosine and the sine
        (Turned, ["x"], [False, True, False, False]),
        (Turned, ("x", "t"), [True, True, True, False]),
    ],
)
def test_a_field_has_the_inputs_that_depend_on_its_coordinates_alone(
    equation: type[Heat], names: Any, inputs: list[bool]
) -> None:
    own = type("Own", (equation,), {"fields": {"a": names}})
    (found,) = BoundaryValueProblem(own()).fields.values()
    assert found.tolist() == inputs


@pytest.mark.parametrize(
    ("equation", "fields", "message"),
    [
        (Heat, ("a",), r"fields of Bad must be a dict of coordinates by unknown, got \('a',\): "),
        (Heat, {"b": ("x",)}, "fields of Bad: no unknown 'b': choose from u, a"),
        (Heat, {"a": ("x", "y")}, "fields of Bad: no coordinate 'y': choose from"),
        (Heat, {"a": "x"}, r"the coordinates of a must be a tuple of names, got 'x': write \("),
        (Heat, {"a": ()}, "for a number, use Unknown"),
        (Mixed, {"a": ("x",)}, "no input of the network depends on x alone, so a would be a "),
    ],
)
def test_malformed_fields_are_refused_with_the_remedy(
    equation: type[Heat], fields: Any, message: str
) -> None:
    bad = type("Bad", (equation,), {"fields": fields})
    with pytest.raises(ConfigurationError, match=message):
        BoundaryValueProblem(bad())
