"""Jets: derivatives of any order through functions and networks, against nested autograd."""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import pi
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kanlit.bases import BasisName
from kanlit.chain_rule import Along
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, Jet
from kanlit.nn.elementary import ELEMENTARY

WANTED: list[Along] = [(0, 0, 0, 0), (0, 0, 1, 1)]


def points(count: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 2, generator=generator, dtype=torch.float64) * 1.6 - 0.8


def assert_exact(function: Callable[[Any], Any], x: Tensor, found: Jet) -> None:
    """Compares all derivatives with those by nested autograd."""
    x = x.clone().requires_grad_()
    nested = {(): function(x)}
    for along in found.alongs[1:]:
        # Zero times x, because a constant has no gradient.
        totals = (nested[along[:-1]] + 0 * x[:, :1]).sum(0)
        slopes = [torch.autograd.grad(total, x, create_graph=True)[0] for total in totals]
        nested[along] = torch.stack([slope[:, along[-1]] for slope in slopes], 1)
    for along in found.alongs:
        error = (found.stream(along) - nested[along]).abs().max()
        assert error <= 1e-9 * (1 + nested[along].abs().max()), along


# -- functions ----------------------------------------------------------------------------------

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "polynomial": lambda z: 2 * z**3 - z * z[:, :1] + 1 - (-z) / 4,
    "constants of every kind": lambda z: (
        torch.tensor([[1.0, 2.0]]) * z + 3 - torch.ones_like(z) + torch.tensor(2.0) / (z + 3)
    ),
    "numpy": lambda z: np.float64(2.0) * z + np.float64(1.0) / (z + np.float64(2.0)),
    "reversed": lambda z: 1 - (2 / (z + 2) + (3 + z) * 2),
    "quotient": lambda z: z[:, :1] / (2 + z[:, 1:]),
    "powers": lambda z: (z + 2) ** -1.5 + 1.5**z + (z + 2) ** z + z**2 + z**0,
    "cat": lambda z: torch.cat([z[:, 1:] * z[:, :1], torch.ones(len(z), 1), torch.sin(z)], 1),
    "sums": lambda z: (z * z).sum(1, keepdim=True) * torch.mean(z**3, 1, keepdim=True),
    "matmul": lambda z: z @ torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.0, -1.0]]).double(),
    "names": lambda z: torch.sub(torch.mul(z, 2), torch.div(torch.add(z, z), 3)).neg().pow(2),
    "parts that do not vary": lambda z: torch.exp(z[:, :1]) + 0 * z[:, 1:],
    "broadcast": lambda z: z[:, :1] * 2 + z,
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_ordinary_functions_have_the_derivatives_of_nested_autograd(
    function: Callable[[Any], Any],
) -> None:
    x = points()
    assert_exact(function, x, function(Jet.variables(x, WANTED)))


@pytest.mark.parametrize("name", ELEMENTARY)
def test_elementary_functions_have_the_derivatives_of_nested_autograd(name: str) -> None:
    function = getattr(torch, name, None) or getattr(torch.nn.functional, name)
    x = points()

    def composed(z: Any) -> Any:
        return function(z[:, :1] * z[:, 1:] + 0.3 * z[:, :1] + 1.2)

    assert_exact(composed, x, composed(Jet.variables(x, WANTED)))


def test_autograd_passes_through_jets() -> None:
    x = points(2).requires_grad_()

    def run(x: Tensor) -> tuple[Tensor, ...]:
        z = Jet.variables(x, [(0, 0, 1)])
        y = torch.tanh(z[:, :1] * z[:, 1:]) / (2 + z[:, :1])
        return tuple(y.streams.values())

    assert torch.autograd.gradcheck(run, (x,))


REFUSED: dict[str, Callable[[Any], Any]] = {
    "torch.floor": torch.floor,
    ".floor": lambda z: z.floor(),
    "torch.add with alpha": lambda z: torch.add(z, z, alpha=2),
    "torch.where": lambda z: torch.where(torch.ones(6, 1).bool(), z, z),
    "comparison": lambda z: z > 0,
    "math or float()": float,
}


@pytest.mark.parametrize(("name", "function"), REFUSED.items(), ids=REFUSED)
def test_other_operations_are_refused_by_name(name: str, function: Callable[[Any], Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        function(Jet.variables(points(), WANTED))
    assert f"through {name}" in str(caught.value)
    assert "sin, sinh" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_jets_of_other_derivatives_do_not_mix() -> None:
    one, two = (Jet.variables(points(), wanted) for wanted in ([(0,)], [(1,)]))
    with pytest.raises(ValueError, match="other derivatives"):
        operator.add(one, two)
    with pytest.raises(KeyError, match="not carried"):
        one.stream((1,))


# -- networks -----------------------------------------------------------------------------------


def network(inputs: int, degree: int, basis: BasisName = "bspline") -> KAN:
    generator = torch.Generator().manual_seed(2)
    return KAN(
        [inputs, 3, 2],
        grid_size=4,
        spline_order=degree,
        basis=basis,
        generator=generator,
        dtype=torch.float64,
    )


def solution(evaluate: Callable[[Any], Any], z: Any) -> Any:
    """An ansatz around a network with a periodic input."""
    x, t = z[:, :1], z[:, 1:]
    inside = evaluate(torch.cat([torch.cos(pi * x), torch.sin(pi * x), t], 1))
    return -torch.sin(pi * x) + t * (1 - x**2) * inside


@pytest.mark.parametrize(
    ("basis", "degree", "order", "path"),
    [
        ("bspline", 3, 2, "narrow"),
        ("bspline", 4, 3, "narrow"),
        ("bspline", 5, 4, "narrow"),
        ("bspline", 5, 4, "wide"),
        ("bspline", 5, 4, "kernel"),
        ("radial", 3, 4, "narrow"),
        ("chebyshev", 3, 4, "narrow"),
        ("fourier", 3, 4, "narrow"),
    ],
)
def test_a_network_between_two_functions_has_the_derivatives_of_nested_autograd(
    basis: BasisName, degree: int, order: int, path: str, force_path: Callable[[str], None]
) -> None:
    force_path(path)
    net, x = network(3, degree, basis), points()
    wanted = [along[:order] for along in WANTED]
    found = solution(net.jet, Jet.variables(x, wanted))
    assert max(map(len, found.alongs)) == order
    assert_exact(lambda z: solution(net, z), x, found)


@pytest.mark.parametrize("wanted", [[()], [(1,)], [(0, 1)], [(1, 1, 1)]])
def test_the_coordinates_alone_are_a_jet(wanted: list[Along]) -> None:
    net, x = network(2, 5), points()
    assert_exact(net, x, net.jet(Jet.variables(x, wanted)))


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("wanted", [[()], [(0, 0)], [(0, 0, 1)]])
def test_no_point_and_one_pass(count: int, wanted: list[Along]) -> None:
    found = network(2, 4).jet(Jet.variables(points(count), wanted))
    assert {tuple(t.shape) for t in found.streams.values()} == {(count, 2)}


@pytest.mark.parametrize("wanted", [[(0, 1)], [(0, 0, 1)]])
def test_autograd_passes_through_a_network_to_points_and_parameters(wanted: list[Along]) -> None:
    net, x = network(2, 5), points(1).requires_grad_()
    parameters = dict(net.named_parameters())

    def run(x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(parameters, values, strict=True))
        z = Jet.variables(x, wanted)
        functional = torch.func.functional_call(_ByJet(net), named, (z * z + z,))
        return tuple(functional.streams.values())

    assert torch.autograd.gradcheck(run, (x, *parameters.values()))


class _ByJet(torch.nn.Module):
    """A module whose forward is the jet, so that it can be called with other parameters."""

    def __init__(self, net: KAN) -> None:
        super().__init__()
        self.layers = net.layers
        self._net = [net]

    def forward(self, inputs: Jet) -> Jet:
        return self._net[0].jet(inputs)
