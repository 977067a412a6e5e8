"""Inputs made of coordinates and an ansatz around the network: laws and refusals."""

from __future__ import annotations

from math import pi
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from kanlit.data.points import RandomPoints
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, Jet
from kanlit.problems import (
    BoundaryValueProblem,
    Burgers,
    Condition,
    Equation,
    Helmholtz,
    Poisson,
    derivative,
    dirichlet,
    equations,
    periodic,
)
from kanlit.problems.exactness import random_networks
from kanlit.problems.record import equation_of, rebuilt, record_of
from kanlit.signatures import constructor_parameters


class Wind(Equation):
    """u_t + u_x = 0 with period 2 in x, exact at t = 0."""

    coordinates = ("x", "t")
    bounds = ((-1.0, 1.0), (0.0, 1.0))
    periodic: ClassVar[dict[str, float]] = {"x": 2.0}

    def residual(self, u_t: Tensor, u_x: Tensor) -> Tensor:
        return u_t + u_x

    def ansatz(self, u: Any, x: Any, t: Any) -> Any:
        return torch.sin(pi * x) + t * u


class Waves(Equation):
    """A system whose network sees functions of the coordinates, with v zero at both ends."""

    coordinates = ("x", "t")
    unknowns = ("u", "v")
    bounds = ((0.0, 3.0), (0.5, 1.0))

    def inputs(self, t: Any, x: Any) -> dict[str, Any]:
        return {"angle": torch.sin(x), "log t": torch.log(t), "x": x}

    def ansatz(self, v: Any, x: Any) -> dict[str, Any]:
        return {"v": x * (3 - x) * torch.exp(v)}

    def residual(self, u_t: Tensor, v_x: Tensor, u: Tensor) -> dict[str, Tensor]:
        return {"one": u_t - v_x, "two": u}

    def conditions(self) -> list[Condition]:
        return [
            dirichlet("walls", {"x": "both"}, unknown="v"),
            derivative("still", {"t": "low"}, unknown="v"),
        ]


def solution(equation: Equation, order: int = 5) -> tuple[BoundaryValueProblem, Any]:
    problem = BoundaryValueProblem(equation)
    widths = [len(problem.form.inputs), 4, len(equation.unknowns)]
    generator = torch.Generator().manual_seed(1)
    network = KAN(widths, spline_order=order, generator=generator, dtype=torch.float64)
    return problem, problem.around(network)


def refused(equation: Equation) -> str:
    with pytest.raises(ConfigurationError) as caught:
        BoundaryValueProblem(equation)
    message = str(caught.value)
    assert "\n" not in message
    return message


def variant(base: type[Equation], **attributes: Any) -> Equation:
    made: Equation = type("Mine", (base,), attributes)()
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("bounds", "period"),
    [((-1.0, 1.0), 2.0), ((0.0, 2 * pi), 2 * pi), ((0.1, 0.4), 0.3), ((0.1, 1.0), 0.3)],
)
def test_the_ends_of_a_periodic_coordinate_are_one_point(
    bounds: tuple[float, float], period: float, dtype: torch.dtype
) -> None:
    equation = variant(Wind, bounds=(bounds, (0.0, 1.0)), periodic={"x": period})
    equation.ansatz = lambda u, t: t * u  # type: ignore[attr-defined]
    problem, _ = solution(equation)
    network = KAN([3, 4, 1], spline_order=3, dtype=dtype)
    t = torch.linspace(0, 1, 9, dtype=dtype)
    ends = [torch.stack([torch.full_like(t, end), t], 1) for end in bounds]
    low, high = (problem.around(network)(x) for x in ends)
    assert torch.equal(low, high)


def test_a_periodic_solution_repeats_to_the_last_bit() -> None:
    _, u = solution(Wind())
    x = torch.rand(50, 2, dtype=torch.float64)
    x[:, 0] = (x[:, 0] * 512).round() / 256 - 1  # x + 2 is exact
    for turns in (-3, 1, 2):
        assert torch.equal(u(x), u(x + torch.tensor([2.0 * turns, 0.0])))


@pytest.mark.parametrize("equation", [Wind(), Waves(), Helmholtz(2, 1), Burgers(0.1, "exact")])
def test_derivatives_are_those_of_nested_autograd(equation: Equation) -> None:
    problem, u = solution(equation)
    low, high = torch.tensor(problem.equation.bounds, dtype=torch.float64).unbind(1)
    x = (low + (high - low) * torch.rand(20, 2, dtype=torch.float64)).requires_grad_()
    jet = u.jet(Jet.variables(x.detach(), [(0, 0, 0), (0, 1)]))
    torch.testing.assert_close(jet.value, u(x), rtol=0, atol=1e-12)
    for number in range(len(equation.unknowns)):
        found = u(x)[:, number]
        for alongs in [(0,), (0, 0), (0, 0, 0)], [(1,), (0, 1)]:
            derivative = found
            for along in alongs:
                axis = 1 if along == (1,) else 0
                derivative = torch.autograd.grad(derivative.sum(), x, create_graph=True)[0][:, axis]
                got = jet.stream(along)[:, number]
                scale = 1 + float(derivative.detach().abs().max())
                assert float((got - derivative).detach().abs().max()) < 1e-9 * scale


@pytest.mark.parametrize(
    ("equation", "exact", "left"),
    [
        (Helmholtz(), ["boundary"], []),
        (Poisson(), ["boundary"], []),
        (Burgers(conditions="exact"), ["walls", "initial"], []),
        (Burgers(), [], ["walls", "initial"]),
        (Waves(), ["walls"], ["still"]),
    ],
)
def test_conditions_that_always_hold_need_no_points(
    equation: Equation, exact: list[str], left: list[str]
) -> None:
    problem = BoundaryValueProblem(equation)
    assert list(problem.exact) == exact
    assert [each.name for each in problem.conditions] == left


@pytest.mark.parametrize("equation", [Helmholtz(), Poisson(), Burgers(conditions="exact")])
def test_exact_conditions_hold_to_rounding(equation: Equation) -> None:
    problem = BoundaryValueProblem(equation)
    draw = torch.Generator().manual_seed(3)
    for network in random_networks(2, 1):
        for condition in equation.conditions():
            for face in problem.faces[condition.name]:
                x, normals = RandomPoints(draw, 1, 40).on(problem.domain, face)
                given = problem.given_on(condition, [(x, normals)])[f"{condition.name}_values"]
                assert float((problem.around(network)(x) - given).abs().max()) < 1e-14


def test_soft_equations_leave_the_network_as_it_is() -> None:
    network = KAN([2, 3, 1])
    for equation in Helmholtz(conditions="soft"), Burgers(), Poisson(50.0, "soft"):
        assert BoundaryValueProblem(equation).around(network) is network


@pytest.mark.parametrize("name", [n for n in equations.__all__ if n != "Equation"])
def test_a_record_holds_all_arguments_of_an_equation(name: str) -> None:
    equation = getattr(equations, name)()
    record = record_of(equation)
    assert set(record["init_args"]) == set(constructor_parameters(type(equation)))
    assert equation_of(record) == equation


def test_a_conditions_argument_survives_a_change_of_a_number() -> None:
    changed = rebuilt(Burgers(0.1, "exact"), viscosity=0.2)
    assert changed == Burgers(0.2, "exact") != Burgers(0.2, "soft")


def test_an_equation_of_another_program_is_not_rebuilt() -> None:
    assert equation_of({"class_path": "os.system", "init_args": {}}) is None


def test_a_slope_on_a_face_can_be_exact() -> None:
    still = [derivative("still", {"t": "low"}, exact=True)]
    squared = {"conditions": lambda self: still, "ansatz": lambda self, u, t: t**2 * u}
    assert BoundaryValueProblem(variant(Wind, **squared)).exact == ("still",)
    assert "still of Mine is exact" in refused(variant(Wind, conditions=lambda self: still))


def test_a_list_of_inputs_is_numbered() -> None:
    equation = variant(Waves, inputs=lambda self, x: [x, torch.cos(x)])
    assert BoundaryValueProblem(equation).form.inputs == ("z1", "z2")


WALLS = [dirichlet("walls", {"x": "both"})]


@pytest.mark.parametrize(
    ("base", "changes", "words"),
    [
        (Wind, {"periodic": {"x": 0.0}}, ["period of x", "positive", "0.0"]),
        (Wind, {"periodic": {"y": 1.0}}, ["no coordinate 'y'", "x, t"]),
        (Wind, {"periodic": 2.0}, ["dict of periods", "2.0"]),
        (Wind, {"conditions": lambda self: WALLS}, ["walls", "ends of x", "period 2"]),
        (
            Wind,
            {"conditions": lambda self: [periodic("wrap", "x")]},
            ["wrap", "ends of x", "remove"],
        ),
        (Wind, {"inputs": lambda self, x: [x]}, ["both inputs and periodic"]),
        (Wind, {"ansatz": lambda self, u, x: x * u}, ["x = -1", "x = 1", "period 2"]),
        (Wind, {"ansatz": lambda self, u, t: u / t}, ["NaN or infinite at x = -1, t = 0"]),
        (Wind, {"ansatz": lambda self, u, y: u * y}, ["unknown name y", "choose from x, t, u"]),
        (Wind, {"ansatz": lambda self, u_x: u_x}, ["unknown name u_x", "choose from x, t, u"]),
        (Wind, {"ansatz": lambda self, t: t}, ["no unknown", "such as u"]),
        (Wind, {"ansatz": lambda self, u: u.sum()}, ["ansatz", "tensor ()"]),
        (Wind, {"ansatz": lambda self, u: {"w": u}}, ["'w'", "no unknown"]),
        (Waves, {"ansatz": lambda self, u: u}, ["one of 2 unknowns", "dict"]),
        (Waves, {"inputs": lambda self, x, y: [x]}, ["unknown name y", "choose from x, t"]),
        (Waves, {"inputs": lambda self, x: torch.cos(x)}, ["Tensor", "list"]),
        (Waves, {"inputs": lambda self, x: [1 / (x - 3)]}, ["inputs", "at x = 3"]),
        (
            Waves,
            {"conditions": lambda self: [dirichlet("top", {"t": "high"}, 1.0, exact=True)]},
            ["top", "is exact", "misses it by", "t = 1"],
        ),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_line(
    base: type[Equation], changes: dict[str, Any], words: list[str]
) -> None:
    message = refused(variant(base, **changes))
    assert all(word in message for word in words), message


def test_an_exact_condition_needs_an_ansatz() -> None:
    walls = [dirichlet("walls", {"x": "both"}, exact=True)]
    plain = variant(Wind, periodic={}, ansatz=None, conditions=lambda self: walls)
    assert "there is no ansatz" in refused(plain)
