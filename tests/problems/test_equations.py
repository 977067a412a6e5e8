"""Shipped equations: the solutions solve them, and keep their conditions, by autograd alone."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor

from kanlit.data.points import GridPoints, problem_points
from kanlit.errors import ConfigurationError
from kanlit.nn import Jet
from kanlit.problems import (
    Advection,
    AllenCahn,
    AllenCahnFront,
    BoundaryValueProblem,
    Burgers,
    Cavity,
    Equation,
    GrayScott,
    Heat,
    Helmholtz,
    KdV,
    Poisson,
    ReactionDiffusion,
    SineGordon,
    Wave,
)
from kanlit.problems.equations.cavity import GHIA_U, GHIA_V
from kanlit.problems.equations.corner_flow import corner_flow
from kanlit.problems.exactness import random_networks
from kanlit.problems.solution import Solution as Around


class PlainAdvection(Advection):
    """Advection whose network sees x itself."""

    periodic = MappingProxyType({})


# With soft conditions, so that the network is the unknown itself.
EQUATIONS = [
    Helmholtz(1, 2, 1.5, conditions="soft"),
    Poisson(conditions="soft"),
    Poisson(3.0, conditions="soft"),
    Burgers(),
    Burgers(0.1),
    AllenCahnFront(),
    AllenCahnFront(0.1, 2.0),
    ReactionDiffusion(),
    ReactionDiffusion(0.05, 20.0),
    Wave(conditions="soft"),
    PlainAdvection(),
    Heat(conditions="soft"),
    SineGordon(conditions="soft"),
]
each_equation = pytest.mark.parametrize("equation", EQUATIONS, ids=str)


class Solution:
    """Stands for a network that has learnt a solution; derivatives by nested autograd."""

    def __init__(self, problem: BoundaryValueProblem) -> None:
        self._problem = problem

    def __call__(self, x: Tensor) -> Tensor:
        return self._problem.solution(x)

    def jet(self, inputs: Jet) -> Jet:
        x = inputs.value.clone().requires_grad_()
        streams = {(): self(x)}
        for along in inputs.alongs[1:]:
            lower = streams[along[:-1]].sum(0)
            columns = [
                torch.autograd.grad(total, x, create_graph=True)[0][:, along[-1]] for total in lower
            ]
            streams[along] = torch.stack(columns, 1)
        return Jet({along: t.detach() for along, t in streams.items()}, inputs.alongs)


def stated(equation: Equation) -> BoundaryValueProblem:
    """The problem as it is stated: all conditions, and no inputs or ansatz around a network."""
    problem = BoundaryValueProblem(equation)
    problem.conditions = list(equation.conditions())
    problem.around = lambda network: network  # type: ignore[method-assign]
    return problem


def points_of(problem: BoundaryValueProblem) -> dict[str, Tensor]:
    """Midpoints, for a start has no second derivative in time where it is not smooth."""
    return problem_points(problem, GridPoints([12] * len(problem.domain.bounds), 9, True))


@each_equation
def test_residual_is_zero_at_the_solution(equation: Equation) -> None:
    problem = stated(equation)
    batch = points_of(problem)
    solution = Solution(problem)
    ((name, values),) = problem.residuals(solution, batch).items()
    assert name == "pde"
    x = batch["collocation"]
    derivatives = solution.jet(Jet.variables(x, [(d, d) for d in range(x.shape[1])]))
    scale = 1 + sum(float(t.abs().max()) for a, t in derivatives.streams.items() if a)
    assert float(values.abs().max()) < 1e-11 * scale


@each_equation
def test_conditions_hold_for_the_solution(equation: Equation) -> None:
    problem = stated(equation)
    found = problem.condition_residuals(Solution(problem), points_of(problem))
    assert found
    for _, values in found.values():
        assert float(values.abs().max()) < 1e-12


@pytest.mark.parametrize(
    ("equation", "trained"),
    [
        (Wave(), []),
        (Heat(), []),
        (SineGordon(), []),
        (Helmholtz(), []),
        (Poisson(), []),
        (Burgers(conditions="exact"), []),
        (KdV(), ["initial"]),
        (GrayScott(), ["initial_u", "initial_v"]),
        (AllenCahn(), ["initial"]),
        (AllenCahn(conditions="exact"), ["walls"]),
        (Cavity(), []),
        (Cavity(regularised=True), []),
    ],
    ids=str,
)
def test_conditions_that_hold_exactly_need_no_points(
    equation: Equation, trained: list[str]
) -> None:
    assert [condition.name for condition in BoundaryValueProblem(equation).conditions] == trained


def test_allen_cahn_with_exact_conditions_has_the_residual_of_its_corrected_start() -> None:
    equation, kan = AllenCahn(0.02, 3.0, "exact"), random_networks(2, 1)[0]
    problem = BoundaryValueProblem(equation)
    points = points_of(problem)["collocation"]

    (residual,) = problem.residuals(kan, {"collocation": points}).values()

    x, t = (column.requires_grad_() for column in points.split(1, 1))
    u = Around(kan, problem.form)(torch.cat([x, t], 1))
    decay = torch.exp(-6 * t)
    v = u * torch.sqrt(decay / (1 - u**2 * (1 - decay)))  # whose reaction gives u

    def slope(y: Tensor, z: Tensor) -> Tensor:
        return torch.autograd.grad(y.sum(), z, create_graph=True)[0]

    curvature = -3 * v * (1 - decay) / (v**2 * (1 - decay) + decay)
    v_x = slope(v, x)
    expected = slope(v, t) - 0.02 * (slope(v_x, x) + curvature * v_x**2)
    weight = 1 - equation.initial(points) ** 2
    torch.testing.assert_close(residual, weight * expected, rtol=0, atol=1e-8)


def test_allen_cahn_has_no_slope_at_its_kink_without_a_network() -> None:
    ansatz = AllenCahn(conditions="exact").exact_form
    t = torch.linspace(0.02, 1, 8, dtype=torch.float64)[:, None]
    inputs = Jet.variables(torch.cat([torch.ones_like(t), t], 1), [(0,)])
    u = ansatz(torch.zeros_like(t), inputs[:, :1], inputs[:, 1:])  # type: ignore[arg-type]
    assert float(u.stream((0,)).abs().max()) < 0.02  # type: ignore[attr-defined]


def test_the_flow_in_a_corner_solves_the_stokes_equations() -> None:
    ends = torch.tensor([[0.0, 0.3], [0.3, 0.0]], dtype=torch.float64)
    along, across, _ = corner_flow(*ends.split(1, 1))
    torch.testing.assert_close(along, torch.tensor([[0.0], [1.0]]).double(), rtol=0, atol=1e-15)
    torch.testing.assert_close(across, torch.zeros_like(across), rtol=0, atol=1e-15)

    generator = torch.Generator().manual_seed(0)
    points = torch.rand(32, 2, dtype=torch.float64, generator=generator) + 0.1
    inputs = Jet.variables(points, [(0, 0), (1, 1)])
    along, across, pressure = corner_flow(inputs[:, :1], inputs[:, 1:])
    terms = [
        along.stream((0,)) + across.stream((1,)),
        along.stream((0, 0)) + along.stream((1, 1)) - pressure.stream((0,)),
        across.stream((0, 0)) + across.stream((1, 1)) - pressure.stream((1,)),
    ]
    assert max(float(term.abs().max()) for term in terms) < 1e-10


@pytest.mark.parametrize("viscosity", [1e-3, 0.01 / torch.pi, 0.1, 10.0])
def test_burgers_solution_does_not_depend_on_the_fineness_of_its_quadrature(
    viscosity: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.linspace(-1, 1, 41, dtype=torch.float64)
    points = torch.cartesian_prod(x, torch.tensor([0.0, 1e-4, 0.1, 0.5, 1.0], dtype=torch.float64))
    coarse = Burgers(viscosity).solution(points)
    monkeypatch.setattr("kanlit.problems.equations.burgers._NODES_PER_WIDTH", 9.0)
    monkeypatch.setattr("kanlit.problems.equations.burgers._TAIL", 80.0)
    torch.testing.assert_close(coarse, Burgers(viscosity).solution(points), rtol=0, atol=1e-12)


def test_burgers_slope_at_the_front_is_the_published_one() -> None:
    """Basdevant et al. give -152.00516 at its steepest, at π t = 1.6037, for ν = 0.01/π."""
    x = torch.tensor([[0.0, 1.6037 / torch.pi]], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(Burgers().solution(x).sum(), x)
    assert float(slope[0, 0]) == pytest.approx(-152.00516, abs=1e-4)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (Poisson, (0.0,), "sharpness .* got 0.0"),
        (Poisson, (float("nan"),), "sharpness .* got nan"),
        (Burgers, (1e-6,), "viscosity .* got 1e-06"),
        (Burgers, (-1.0,), "viscosity .* got -1.0"),
        (AllenCahnFront, (0.0, 1.0), "diffusivity .* got 0.0"),
        (AllenCahnFront, (0.01, float("inf")), "rate .* got inf"),
        (ReactionDiffusion, (-0.1, 1.0), "diffusivity .* got -0.1"),
        (ReactionDiffusion, (0.1, 0.0), "rate .* got 0.0"),
        (AllenCahn, (1e-5,), "diffusivity .* got 1e-05"),
        (KdV, (0.01,), "dispersion .* got 0.01"),
        (GrayScott, (0.0,), "diffusivity .* got 0.0"),
        (Wave, (0.0,), "speed .* got 0.0"),
        (Advection, (1e4,), "speed .* got 10000.0"),
        (Heat, (-1.0,), "diffusivity .* got -1.0"),
        (SineGordon, (1.0,), "frequency .* got 1.0"),
        (Cavity, (0.0,), "reynolds .* got 0.0"),
    ],
)
def test_parameters_out_of_range_are_refused_with_the_value(
    make: Any, arguments: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        make(*arguments)
    assert "\n" not in str(caught.value)


def test_cavity_is_measured_on_the_values_of_ghia() -> None:
    def still(points: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(points), 3)

    def measured(points: torch.Tensor) -> torch.Tensor:
        u = torch.tensor([value for _, value in GHIA_U])
        v = torch.tensor([value for _, value in GHIA_V])
        return torch.stack([torch.cat([u, v]), torch.cat([u, v]), torch.zeros(len(points))], 1)

    assert Cavity().measured_error(still) == pytest.approx(1.0)
    assert Cavity().measured_error(measured) == pytest.approx(0.0, abs=1e-6)
    assert Cavity(regularised=True).measured_error(still) is None
    assert Cavity(reynolds=400.0).measured_error(still) is None
