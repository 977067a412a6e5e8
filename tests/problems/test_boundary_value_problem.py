"""Names become derivatives, conditions become points and residuals, and bad ones are refused."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor

from kanlit.data import EquationData
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN
from kanlit.problems import (
    BoundaryValueProblem,
    Condition,
    Equation,
    derivative,
    dirichlet,
    periodic,
)


class Base(Equation):
    """``u_xx = 0``, to be made wrong in one place."""

    coordinates: Any = ("x", "t")
    bounds: Any = ((0.0, 2.0), (0.0, 1.0))

    def residual(self, u_xx: Tensor) -> Tensor:
        return u_xx


def equation(residual: Any = None, conditions: Any = None, **attributes: Any) -> Equation:
    """An equation with these attributes, residual and conditions."""
    members = dict(attributes)
    if residual is not None:
        members["residual"] = staticmethod(residual)
    if conditions is not None:
        members["conditions"] = lambda self: conditions
    return type("Own", (Base,), members)()


def network(inputs: int = 2, outputs: int = 1, degree: int = 4) -> KAN:
    generator = torch.Generator().manual_seed(0)
    return KAN([inputs, 3, outputs], spline_order=degree, generator=generator, dtype=torch.float64)


def points(count: int = 7, inputs: int = 2) -> Tensor:
    return torch.rand(count, inputs, generator=torch.Generator().manual_seed(1)).double()


def nested(net: KAN, x: Tensor, unknown: int, along: tuple[int, ...]) -> Tensor:
    """A derivative by autograd, ``(n, 1)``."""
    x = x.clone().requires_grad_()
    found = net(x)[:, unknown]
    for axis in along:
        found = torch.autograd.grad(found.sum(), x, create_graph=True)[0][:, axis]
    return found.unsqueeze(1)


CASES: list[tuple[str, int, tuple[int, ...]]] = [
    ("u", 0, ()),
    ("v", 1, ()),
    ("u_x", 0, (0,)),
    ("v_t", 1, (1,)),
    ("u_xx", 0, (0, 0)),
    ("u_tt", 0, (1, 1)),
    ("v_xt", 1, (0, 1)),
    ("v_tx", 1, (1, 0)),
    ("u_xtx", 0, (0, 0, 1)),
    ("v_xttx", 1, (0, 0, 1, 1)),
    ("u_tttt", 0, (1, 1, 1, 1)),
]


@pytest.mark.parametrize(("name", "unknown", "along"), CASES)
def test_a_name_alone_is_the_derivative_by_nested_autograd(
    name: str, unknown: int, along: tuple[int, ...]
) -> None:
    net, x = network(outputs=2), points()
    own = equation(_function([name], lambda term: term), unknowns=("u", "v"))
    ((_, got),) = BoundaryValueProblem(own).residuals(net, {"collocation": x}).items()
    torch.testing.assert_close(got, nested(net, x, unknown, along), rtol=1e-9, atol=1e-9)


def test_all_names_together_keep_their_places() -> None:
    net, x = network(outputs=2), points()
    names = ["t", *(name for name, *_ in CASES), "x"]
    weights = [float(i + 1) for i in range(len(names))]
    own = equation(
        _function(names, lambda *terms: sum(w * t for w, t in zip(weights, terms, strict=True))),
        unknowns=("u", "v"),
    )
    got = BoundaryValueProblem(own).residuals(net, {"collocation": x})["pde"]
    terms = [x[:, 1:], *(nested(net, x, u, along) for _, u, along in CASES), x[:, :1]]
    expected = sum(w * t for w, t in zip(weights, terms, strict=True))
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_coordinates_of_several_letters_are_told_apart() -> None:
    net, x = network(inputs=3), points(inputs=3)
    own = equation(
        lambda u_x1x2, u_r: u_x1x2 + u_r, coordinates=("x1", "x2", "r"), bounds=((0, 1),) * 3
    )
    got = BoundaryValueProblem(own).residuals(net, {"collocation": x})["pde"]
    expected = nested(net, x, 0, (0, 1)) + nested(net, x, 0, (2,))
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_a_system_gives_a_block_for_each_name_and_rows_become_columns() -> None:
    own = equation(lambda u, v_x: {"one": u[:, 0], "two": v_x}, unknowns=("u", "v"))
    found = BoundaryValueProblem(own).residuals(network(outputs=2), {"collocation": points()})
    assert {name: tuple(values.shape) for name, values in found.items()} == {
        "one": (7, 1),
        "two": (7, 1),
    }


@pytest.mark.parametrize(
    ("residual", "order"),
    [
        (lambda u: u, 0),
        (lambda u, u_t: u + u_t, 1),
        (lambda u_xt: u_xt, 2),
        (lambda u_xttx: u_xttx, 4),
    ],
)
def test_order_is_that_of_the_highest_derivative(residual: Any, order: int) -> None:
    assert BoundaryValueProblem(equation(residual)).order == order


def test_conditions_are_what_they_say_on_their_faces() -> None:
    net = network()
    start = dirichlet("start", {"t": "low"}, lambda p: p[:, :1] ** 2)
    own = equation(
        conditions=[
            start,
            derivative("flux", {"x": "both"}, 0.5, weight=3.0),
            periodic("around", "x", of=("u", "u_x")),
            Condition("robin", {"x": "high"}, lambda u, u_x, x: u + x * u_x),
        ]
    )
    problem = BoundaryValueProblem(own)
    batch = EquationData(own, points_per_axis=4, condition_points=5).build("train")
    assert isinstance(batch, dict)
    assert {name: len(batch[name]) for name in ("start", "flux", "around", "robin")} == {
        "start": 5,
        "flux": 10,
        "around": 5,
        "robin": 5,
    }
    assert not batch["start"][:, 1].any()
    assert sorted(batch["flux"][:, 0].tolist()) == [0.0] * 5 + [2.0] * 5
    assert torch.equal(batch["around_opposite"][:, 0], torch.full((5,), 2.0).double())
    assert torch.equal(batch["around_opposite"][:, 1], batch["around"][:, 1])

    found = problem.condition_residuals(net, batch)
    low, high = batch["around"], batch["around_opposite"]
    expected = {
        "start": (1.0, net(batch["start"]) - batch["start"][:, :1] ** 2),
        "flux": (3.0, nested(net, batch["flux"], 0, (0,)) - 0.5),
        "around.u": (1.0, net(low) - net(high)),
        "around.u_x": (1.0, nested(net, low, 0, (0,)) - nested(net, high, 0, (0,))),
        "robin": (1.0, net(batch["robin"]) + 2 * nested(net, batch["robin"], 0, (0,))),
    }
    assert found.keys() == expected.keys()
    for name, (weight, values) in expected.items():
        assert found[name][0] == weight
        torch.testing.assert_close(found[name][1], values, rtol=1e-9, atol=1e-9)


def test_an_ordinary_equation_has_a_point_for_each_end() -> None:
    own = equation(
        coordinates=("x",),
        bounds=((1.0, 3.0),),
        conditions=[dirichlet("ends", {"x": "both"}, lambda p: p - 1)],
    )
    for part in ("train", "validate"):
        batch = EquationData(own, points_per_axis=6).build(part)  # type: ignore[arg-type]
        assert isinstance(batch, dict)
        assert batch["ends"].tolist() == [[1.0], [3.0]]
        assert batch["ends_values"].tolist() == [[0.0], [2.0]]
        assert batch["collocation"].shape == (6 - (part == "validate"), 1)


@pytest.mark.parametrize("sampling", ["sobol", "uniform"])
def test_drawn_points_lie_in_the_box_and_depend_on_the_seed_and_the_part(sampling: Any) -> None:
    own = equation(conditions=[dirichlet("start", {"t": "low"})])

    def draw(part: Any, seed: int) -> Tensor:
        data = EquationData(own, sampling=sampling, points=64, condition_points=8, seed=seed)
        batch = data.build(part)
        assert isinstance(batch, dict)
        assert batch["start"].shape == (8, 2)
        return batch["collocation"]

    first = draw("train", 3)
    assert first.shape == (64, 2)
    assert bool(((first >= 0) & (first <= torch.tensor([2.0, 1.0]))).all())
    assert float(first[:, 0].max()) > 1.5
    assert torch.equal(first, draw("train", 3))
    assert not torch.equal(first, draw("train", 4))
    assert not torch.equal(first, draw("validate", 3))


# -- what cannot be -----------------------------------------------------------------------------


def _function(names: list[str], body: Any) -> Any:
    """A function with parameters of these names."""

    def function(*terms: Any) -> Any:
        return body(*terms)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"residual": lambda u_y: u_y}, r"Own: unknown name u_y: did you mean u_\w+\? choose from x, "),
    ({"residual": lambda u_x, w: w}, r"residual of Own: unknown name w: .*u_xt"),
    ({"residual": lambda u_xtxtx: u_xtxtx}, r"u_xtxtx .* a derivative order above four"),
    ({"residual": lambda u, source: u}, r"unknown name source"),
    ({"residual": lambda x: x}, r"names no unknown"),
    ({"residual": lambda *terms: terms}, r"takes \*terms: name what it needs"),
    ({"residual": lambda **terms: terms}, r"takes \*\*terms: name what it needs"),
    ({"coordinates": ()}, r"coordinates of Own must be a tuple of names, got \(\)"),
    ({"coordinates": "xt"}, r"coordinates of Own must be a tuple of names, got 'xt'"),
    ({"coordinates": ("x", "2t")}, r"'2t' cannot name a parameter"),
    ({"coordinates": ("x", "xx"), "residual": lambda u_x: u_x}, r"u_xx could mean two things"),
    ({"coordinates": ("x", "x")}, r"x could mean two things"),
    ({"unknowns": ("x",)}, r"x could mean two things"),
    ({"bounds": ()}, r"bounds of Own must be a pair for each of x, t, got \(\): write bounds = "),
    ({"bounds": ((0.0, 1.0),)}, r"must be a pair for each of x, t"),
    ({"bounds": ((0.0, 1.0), (1.0, 0.0))}, r"t ranges from 1 to 0: give two finite numbers"),
    ({"bounds": ((0.0, 0.0), (1.0, 2.0))}, r"x ranges from 0 to 0"),
    ({"bounds": ((0.0, float("inf")), (1.0, 2.0))}, r"x ranges from 0 to inf"),
    ({"bounds": 3}, r"must be a pair for each of x, t, got 3"),
    ({"conditions": [lambda u: u]}, r"conditions of Own must be a list of kanlit.Condition"),
    ({"conditions": [dirichlet("a", {"y": "low"})]}, r"a of Own: no coordinate 'y': .* x, t"),
    ({"conditions": [dirichlet("a", {"x": "left"})]}, r"x has no end 'left': .* low, high, both"),  # type: ignore[dict-item]
    ({"conditions": [dirichlet("a", {})]}, r"on must be a dict of coordinates and ends"),
    ({"conditions": [dirichlet("a", {"x": "low"}, unknown="v")]}, r"unknown name v"),
    ({"conditions": [dirichlet("a b", {"x": "low"})]}, r"use an identifier as its name"),
    ({"conditions": [dirichlet("source", {"x": "low"})]}, r"use an identifier as its name"),
    ({"conditions": [dirichlet("a", {"x": "low"})] * 2}, r"a of Own is defined twice"),
    ({"conditions": [dirichlet("a", {"x": "low"}, weight=0.0)]}, r"weight must be positive, got 0"),
    ({"conditions": [periodic("a", "x", of=("u_xxxxx",))]}, r"a derivative order above four"),
    ({"conditions": [Condition("a", {"x": "low"}, 3)]}, r"a of Own is 3, not a function"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("members", "message"), WRONG)
def test_an_equation_that_cannot_be_read_is_refused_in_one_line(
    members: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        EquationData(equation(**members))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [3, Base, "Helmholtz", None])
def test_what_is_not_an_equation_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"subclass of kanlit\.Equation, got "):
        EquationData(wrong)


def test_values_and_weights_of_conditions_are_numbers() -> None:
    with pytest.raises(ConfigurationError, match=r"velocity: the value must be .* got 't'"):
        derivative("velocity", {"t": "low"}, "t")
    with pytest.raises(ConfigurationError, match=r"walls: the weight must be a number, got None"):
        dirichlet("walls", {"x": "both"}, 0.0, weight=None)


def test_a_derivative_takes_one_coordinate() -> None:
    with pytest.raises(ConfigurationError, match=r"faces of one coordinate, got .*'t': 'low'"):
        derivative("a", {"x": "low", "t": "low"})


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        (lambda u: 0.0, r"residual of Own returned float, not a tensor: return one \(7, 1\)"),
        (lambda u: u.mean(), r"returned a tensor \(\) for 7 points: it must be \(7, 1\)"),
        (lambda u, x: u - x[:, 0], r"returned a tensor \(7, 7\) for 7 points"),
        (lambda u: {}, r"returned an empty dict"),
        (lambda u: {"mass": u, "heat": 1}, r"heat in residual of Own returned int"),
    ],
)
def test_what_is_not_a_residual_is_refused_in_one_line(residual: Any, message: str) -> None:
    problem = BoundaryValueProblem(equation(residual))
    with pytest.raises(ConfigurationError, match=message) as caught:
        problem.residuals(network(), {"collocation": points()})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"solution": lambda self, p: p}, r"solution of Own returned a tensor \(10000, 2\)"),
        (
            {"residual": lambda u, source: u, "source": lambda self, p: 1.0},
            r"source of Own returned float, not a tensor",
        ),
        (
            {"conditions": [dirichlet("a", {"x": "low"}, lambda p: p)]},
            r"given values of condition a of Own returned a tensor \(64, 2\)",
        ),
    ],
)
def test_values_of_a_wrong_shape_are_refused_before_training(
    members: dict[str, Any], message: str
) -> None:
    data = EquationData(equation(**members))
    stage = "test" if "solution" in members else "fit"
    with pytest.raises(ConfigurationError, match=message):
        data.setup(stage)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"points_per_axis": 1}, "points_per_axis must be at least 2, got 1"),
        ({"points_per_axis": [4, 5, 6]}, r"one number or 2 of them, for x, t, got \[4, 5, 6\]"),
        ({"condition_points": 1}, "condition_points must be at least 2, got 1"),
        ({"sampling": "sobol"}, "got points None with sampling sobol"),
        ({"points": 9}, "got points 9 with sampling grid"),
        ({"points": 0, "sampling": "uniform"}, "points must be at least 1, got 0"),
        ({"sampling": "halton"}, "one of grid, sobol, uniform, residual, got 'halton'"),
    ],
)
def test_counts_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        EquationData(Base(), **settings)
