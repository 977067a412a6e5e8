"""Networks of known edges give the known formula; what is no function is said to be a spline."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import sympy
import torch
from scipy.special import j0
from torch import Tensor

from kanlit.nn import KAN
from kanlit.scaling import Standardization
from kanlit.splines import bspline_basis
from kanlit.symbolic import find_formula, refine, snap
from kanlit.symbolic.formula import steps
from kanlit.symbolic.tidy import tidied

Edge = Callable[[Tensor], Tensor]


def network_of(*layers: Sequence[Sequence[Edge]], reach: float = 4.0) -> KAN:
    """A KAN with these edge functions, ``layers[l][q][p]``, as splines on [-reach, reach]."""
    widths = [len(layers[0][0]), *(len(layer) for layer in layers)]
    network = KAN(
        widths,
        grid_size=60,
        spline_order=5,
        grid_range=(-reach, reach),
        dtype=torch.float64,
    )
    for layer, rows in zip(network.layers, layers, strict=True):
        points = torch.linspace(-reach, reach, 2000, dtype=torch.float64)
        bases = bspline_basis(
            points.unsqueeze(1).expand(-1, layer.in_features), layer.knots, 5, 0, "linear"
        )
        with torch.no_grad():
            layer.base_weight.zero_()
            layer.edge_scale.fill_(1)
            layer.bias.zero_()
            for q, row in enumerate(rows):
                for p, edge in enumerate(row):
                    values = edge(points).unsqueeze(1)
                    found = torch.linalg.lstsq(bases[:, p], values).solution
                    layer.coefficients[q, p] = found.squeeze(1)
    return network.requires_grad_(False)


@pytest.fixture
def x() -> Tensor:
    return 2 * torch.rand(500, 2, dtype=torch.float64) - 1


@pytest.mark.parametrize("names", [["x", "exp"], ["sin", "_c0"]])
def test_composed_edges_are_the_known_formula(names: list[str], x: Tensor) -> None:
    network = network_of(
        [[lambda t: torch.sin(torch.pi * t), lambda t: t**2]], [[lambda t: torch.exp(t)]]
    )
    y = torch.exp(torch.sin(torch.pi * x[:, :1]) + x[:, 1:] ** 2)

    formula = find_formula(network, x, y, names=names)

    a, b = formula.inputs
    (output,) = formula.outputs
    assert [a.name, b.name] == names
    assert output.expression == sympy.exp(sympy.sin(sympy.pi * a) + b**2)
    torch.testing.assert_close(formula(x), y, rtol=1e-6, atol=0)
    assert [edge.name for edge in formula.edges if edge.is_spline] == []


def test_the_products_of_a_network_of_squares_are_found(x: Tensor) -> None:
    network = network_of(
        [[lambda t: t, torch.sin], [lambda t: t, lambda t: -torch.sin(t)]],
        [[lambda t: t**2 / 4, lambda t: -(t**2) / 4]],
    )
    y = x[:, :1] * torch.sin(x[:, 1:])

    (output,) = find_formula(network, x, y).outputs

    x1, x2 = sympy.symbols("x1 x2", real=True)
    assert output.expression == x1 * sympy.sin(x2)


def mixed(nodes: int) -> KAN:
    """A network whose edges are no functions of the library."""

    def mixture(t: Tensor) -> Tensor:
        return torch.sin(3 * t) + 0.5 * torch.cos(7 * t)

    return network_of([[mixture] * 2] * nodes, [[mixture] * nodes])


def test_a_network_with_needless_nodes_ends_as_the_exact_formula(x: Tensor) -> None:
    y = torch.exp(torch.sin(torch.pi * x[:, :1]) + x[:, 1:] ** 2)
    taken: list[int] = []

    (output,) = find_formula(mixed(5), x, y, advance=taken.append).outputs

    x1, x2 = sympy.symbols("x1 x2", real=True)
    assert output.expression == sympy.exp(sympy.sin(sympy.pi * x1) + x2**2)
    assert sum(taken) == steps(15, 1, 100)


def test_noisy_targets_give_the_short_formula(x: Tensor) -> None:
    x = x[:300]
    noise = 0.2 * torch.randn(len(x), 1, generator=torch.Generator().manual_seed(0)).double()
    y = x[:, :1] + 2 * x[:, 1:] ** 2 + noise

    (output,) = find_formula(mixed(1), x, y).outputs

    x1, x2 = sympy.symbols("x1 x2", real=True)
    assert output.expression == x1 + 2 * x2**2


def test_standardisation_is_folded_in(x: Tensor) -> None:
    network = network_of([[torch.exp, lambda t: t**2]])
    scales = Standardization(
        *(torch.tensor(v, dtype=torch.float64) for v in ([3.0, -1.0], [0.5, 4.0], [7.0], [2.5]))
    )
    users = x * scales.input_std + scales.input_mean
    y = network(x) * scales.target_std + scales.target_mean

    formula = find_formula(network, users, y, scales)

    torch.testing.assert_close(formula(users), y, rtol=1e-6, atol=1e-6)


def test_edges_that_nothing_fits_stay_splines_and_keep_their_values(x: Tensor) -> None:
    network = network_of(
        [[lambda t: torch.from_numpy(j0(20 * t.numpy())), lambda t: t**2]], reach=1
    )
    scales = Standardization(
        *(torch.tensor(v, dtype=torch.float64) for v in ([3.0, -1.0], [0.5, 4.0], [0.0], [1.0]))
    )
    users = x * scales.input_std + scales.input_mean

    formula = find_formula(network, users, network(x), scales)

    assert [edge.name for edge in formula.edges if edge.is_spline] == ["phi_1_1_1"]
    assert "phi_1_1_1(x1)" in str(formula.outputs[0].expression)
    torch.testing.assert_close(formula(users), network(x), rtol=1e-5, atol=1e-5)


def test_edges_without_importance_are_constants(x: Tensor) -> None:
    network = network_of([[lambda t: t**2, lambda t: 1 + 1e-5 * torch.sin(9 * t)]])

    formula = find_formula(network, x, network(x))

    assert [edge.negligible for edge in formula.edges] == [False, True]
    assert formula.outputs[0].expression.free_symbols == {formula.inputs[0]}


def test_each_output_has_its_own_formula(x: Tensor) -> None:
    network = network_of([[lambda t: t, torch.exp], [lambda t: t**2, lambda t: -t]])

    first, second = find_formula(network, x, network(x)).outputs

    x1, x2 = sympy.symbols("x1 x2", real=True)
    assert first.expression == x1 + sympy.exp(x2)
    assert second.expression == x1**2 - x2


def test_simple_numbers_take_the_place_of_constants_under_noise() -> None:
    t = sympy.Symbol("t", real=True)
    draw = np.random.default_rng(0)
    x = draw.uniform(-1, 1, (1000, 1))
    y = 1.5 * np.sin(np.pi * x[:, 0]) + 2 + 0.05 * draw.standard_normal(1000)
    start = sympy.Float(1.4) * sympy.sin(sympy.Float(3.0) * t + sympy.Float(0.1)) + sympy.Float(1.9)

    refined, error = refine(start, [t], x, y)
    snapped, its_error = snap(refined, [t], x, y)

    assert snapped == sympy.Rational(3, 2) * sympy.sin(sympy.pi * t) + 2
    assert error <= its_error <= 1.01 * error


def test_constants_that_are_no_simple_numbers_stay() -> None:
    t = sympy.Symbol("t", real=True)
    x = np.linspace(-1, 1, 50)[:, None]

    snapped, _ = snap(sympy.Float(0.7354219) * t, [t], x, 0.7354219 * x[:, 0])

    assert snapped.as_coefficient(t) == pytest.approx(0.7354219)


def test_sines_at_several_phases_become_one() -> None:
    a, b = sympy.symbols("a b", real=True)
    x = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    y = x[:, 0] * np.sin(x[:, 1])
    phases = 0.02, -0.03
    weights = [float(w) for w in np.linalg.solve([np.cos(phases), np.sin(phases)], [1.0, 0.0])]
    sines = [sympy.Float(w) * sympy.sin(b + p) for w, p in zip(weights, phases, strict=True)]

    expression, error = tidied(a * sympy.Add(*sines), [a, b], x, y, {})

    assert expression == a * sympy.sin(b)
    assert error < 1e-15
