"""Curvature of networks and layers: exact, by differences, tempered, refused."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from kanlit.adaptation import CurvatureDensity, ImportanceContext, InputDensity, adapt_grids
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, KANLayer


def points(count: int = 40, n_in: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    """``(n, in)`` on [-1.2, 1.2]: a few lie outside the first grid."""
    generator = torch.Generator().manual_seed(3)
    return 2.4 * torch.rand(count, n_in, generator=generator, dtype=dtype) - 1.2


def context_of(network: nn.Module, x: Tensor) -> ImportanceContext:
    """The context of the network's first KAN layer."""
    layer = next(m for m in network.modules() if isinstance(m, KANLayer))
    with torch.no_grad():
        layer_input = torch.tanh(network.lift(x)) if hasattr(network, "lift") else x
    return ImportanceContext(layer, layer_input, network, x)


class Scaled(CurvatureDensity):
    def __call__(self, context: ImportanceContext) -> Tensor:
        return 1024 * super().__call__(context)


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_knots_do_not_depend_on_the_scale_of_the_weights(
    scope: str, make_kan: Callable[..., KAN]
) -> None:
    networks = [make_kan() for _ in range(2)]
    adapt_grids(networks[0], points(), CurvatureDensity(scope), 6)  # type: ignore[arg-type]
    adapt_grids(networks[1], points(), Scaled(scope), 6)  # type: ignore[arg-type]
    for one, two in zip(*(n.state_dict().values() for n in networks), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("scope", ["network", "layer"])
@pytest.mark.parametrize("method", ["exact", "finite_difference"])
def test_a_network_without_curvature_gets_even_knots_on_even_samples(
    scope: str, method: str, make_kan: Callable[..., KAN]
) -> None:
    network = make_kan()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(0.5 if name.endswith("bias") else 0.0)
    x = torch.linspace(-1, 1, 1001, dtype=torch.float64).unsqueeze(1).repeat(1, 2)
    density = CurvatureDensity(scope, method, epsilon=0)  # type: ignore[arg-type]
    first = adapt_grids(network, x, density, 5).layers[0]
    assert not first.weights.any()
    expected = torch.linspace(-1, 1, 6, dtype=torch.float64).repeat(2, 1)
    torch.testing.assert_close(first.new_breakpoints, expected, rtol=0, atol=2.1e-2)
    widths = first.new_breakpoints.diff(dim=1)[:, 1:-1]
    torch.testing.assert_close(widths, torch.full_like(widths, 0.4), rtol=0, atol=4e-3)


# -- curvature ----------------------------------------------------------------------------------


def oracle(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Hessians ``(n, out, in, in)`` by nested autograd, sample by sample and output by output."""
    outputs = function(x[:1]).shape[1]

    def one(q: int) -> Callable[[Tensor], Tensor]:
        return lambda z: function(z.unsqueeze(0))[0, q]

    rows = [
        torch.stack([torch.autograd.functional.hessian(one(q), z) for q in range(outputs)])
        for z in x
    ]
    return torch.stack(rows)


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_network_curvature_of_a_kan_is_that_of_nested_autograd(
    degree: int, make_kan: Callable[..., KAN]
) -> None:
    network, x = make_kan(degree=degree), points(12)
    expected = oracle(network, x).diagonal(dim1=2, dim2=3).abs().sum((1, 2))
    got = CurvatureDensity(power=1, epsilon=0)(context_of(network, x))
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_network_curvature_of_any_module_is_that_of_nested_autograd(
    make_residual: Callable[..., nn.Module],
) -> None:
    x = points(12)
    sequence = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), KANLayer(2, 3)).double()
    for network in (make_residual(), sequence):
        expected = oracle(network, x).diagonal(dim1=2, dim2=3).abs().sum((1, 2))
        got = CurvatureDensity(power=1, epsilon=0)(context_of(network, x))
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


class PassesThrough(nn.Module):
    """Its second output is its first input, as it came."""

    def __init__(self, kan: KAN) -> None:
        super().__init__()
        self.kan = kan

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.kan(x), x[:, :1]], dim=1)


def test_an_output_that_is_linear_in_the_inputs_has_no_curvature(
    make_kan: Callable[..., KAN],
) -> None:
    network, x = PassesThrough(make_kan()), points(12)
    density = CurvatureDensity(power=1, epsilon=0)
    got = density(context_of(network, x))
    expected = density(context_of(network.kan, x))
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("outside", ["linear", "zero"])
@pytest.mark.parametrize("degree", [2, 3, 5])
def test_layer_curvature_is_the_hessian_s_diagonal_and_the_rest_of_it_is_zero(
    degree: int, outside: str
) -> None:
    layer = KANLayer(
        3,
        2,
        spline_order=degree,
        outside=outside,  # type: ignore[arg-type]
        dtype=torch.float64,
    )
    x = points(12, 3)
    hessian = oracle(layer, x)
    diagonal = hessian.diagonal(dim1=2, dim2=3)
    assert (hessian - torch.diag_embed(diagonal)).abs().max() < 1e-12
    got = CurvatureDensity("layer", power=1, epsilon=0)(context_of(layer, x))
    torch.testing.assert_close(got, diagonal.abs().sum(1), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_finite_differences_approach_the_exact_curvature_as_the_step_shrinks(
    scope: str, network: Callable[[torch.dtype], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Inside the grids: the second derivative jumps where the linear continuation begins.
    context = context_of(network(torch.float64), 0.75 * points(200))
    exact = CurvatureDensity(scope, power=1)(context)  # type: ignore[arg-type]
    errors = []
    for step in (1e-1, 1e-2, 1e-3):
        monkeypatch.setattr(CurvatureDensity, "STEP", step)
        by_steps = CurvatureDensity(scope, "finite_difference", power=1)  # type: ignore[arg-type]
        errors.append(float((by_steps(context) - exact).norm() / exact.norm()))
    assert errors[1] < errors[0] / 5
    assert errors[2] < errors[1] / 5
    assert errors[2] < 1e-3


@pytest.mark.parametrize("scope", ["network", "layer"])
@pytest.mark.parametrize("method", ["exact", "finite_difference"])
@pytest.mark.parametrize(("power", "epsilon"), [(1, 0.1), (0.5, 0), (0.25, 3.0), (2, 1e-8)])
def test_weights_are_the_curvature_and_epsilon_to_the_power(
    scope: str, method: str, power: float, epsilon: float, make_kan: Callable[..., KAN]
) -> None:
    context = context_of(make_kan(), points())
    plain = CurvatureDensity(scope, method, 1, 0)(context)  # type: ignore[arg-type]
    got = CurvatureDensity(scope, method, power, epsilon)(context)  # type: ignore[arg-type]
    torch.testing.assert_close(got, (plain + epsilon) ** power, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_curvature_draws_knots_to_where_the_function_bends(scope: str) -> None:
    network = KAN([1, 1], grid_size=20, dtype=torch.float64)
    (layer,) = network.layers
    with torch.no_grad():
        layer.base_weight.zero_()
        layer.coefficients.zero_()
        layer.coefficients[0, 0, 17] = 1.0  # a bump whose middle is x = 0.6
    x = torch.linspace(-1, 1, 500, dtype=torch.float64).unsqueeze(1)
    grids = {}
    for name, density in (
        ("curvature", CurvatureDensity(scope)),  # type: ignore[arg-type]
        ("input", InputDensity()),
    ):
        report = adapt_grids(copy.deepcopy(network), x, density, 12)
        grids[name] = report.layers[0].new_breakpoints
    near = {name: int(((grid - 0.6).abs() < 0.2).sum()) for name, grid in grids.items()}
    assert near["curvature"] >= 7
    assert near["input"] <= 3


# -- what cannot be -----------------------------------------------------------------------------


def degree_one() -> nn.Module:
    return nn.Sequential(KANLayer(2, 2), KANLayer(2, 1, spline_order=1))


@pytest.mark.parametrize("scope", ["network", "layer"])
@pytest.mark.parametrize("method", ["exact", "finite_difference"])
def test_curvature_of_degree_one_splines_is_refused_before_training_and_names_the_layer(
    scope: str, method: str
) -> None:
    density = CurvatureDensity(scope, method)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"degree 1 in 1 .*raise spline_order or use"):
        density.check(degree_one())
    with pytest.raises(ConfigurationError, match=r"degree 1 in the layer"):
        density.check(KANLayer(2, 2, spline_order=1))
    with pytest.raises(ConfigurationError, match="degree 1"):
        adapt_grids(KAN([2, 1], spline_order=1), points(dtype=torch.float32), density)


def test_input_density_takes_degree_one_splines() -> None:
    InputDensity().check(degree_one())
    adapt_grids(degree_one(), points(dtype=torch.float32), InputDensity(), 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scope": "net"}, "scope must be 'network' or 'layer', got 'net'"),
        ({"method": "autograd"}, "method must be .* got 'autograd'"),
        ({"power": 0}, "power must be positive, got 0: try 0.5"),
        ({"power": -1}, "power must be positive, got -1"),
        ({"power": float("nan")}, "power must be positive, got nan"),
        ({"power": float("inf")}, "power must be positive, got inf"),
        ({"epsilon": -1e-9}, "epsilon must be at least 0, got -1e-09"),
        ({"epsilon": float("nan")}, "epsilon must be at least 0, got nan"),
        ({"epsilon": float("inf")}, "epsilon must be at least 0, got inf"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        CurvatureDensity(**settings)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_derivatives_that_overflow_are_refused_with_the_cure() -> None:
    network = KAN([1, 2, 1], generator=torch.Generator().manual_seed(0))
    tiny = torch.full((3, 1), 1e-30)
    adapt_grids(network, tiny, InputDensity(), 3)
    with pytest.raises(ValueError, match=r"not finite in torch.float32: standardize the inputs"):
        adapt_grids(network, tiny, CurvatureDensity())
