"""The density by slope: exact first derivatives of networks and layers, tempered."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from kanlit.adaptation import GradientDensity, ImportanceContext, adapt_grids
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, KANLayer


def points(count: int = 12, n_in: int = 2) -> Tensor:
    """``(n, in)`` on [-1.2, 1.2]: a few lie outside the first grid."""
    generator = torch.Generator().manual_seed(3)
    return 2.4 * torch.rand(count, n_in, generator=generator, dtype=torch.float64) - 1.2


def context_of(network: nn.Module, x: Tensor) -> ImportanceContext:
    layer = next(m for m in network.modules() if isinstance(m, KANLayer))
    return ImportanceContext(layer, x, network, x)


class HalfConstant(nn.Module):
    """Its second output does not depend on its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.kan = KAN([2, 3, 1], dtype=torch.float64)
        self.constant = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.kan(x), self.constant.expand(len(x), 1)], dim=1)


NETWORKS: dict[str, nn.Module] = {
    **{f"KAN of degree {k}": KAN([2, 4, 3], spline_order=k, dtype=torch.float64) for k in (1, 3)},
    "Sequential": nn.Sequential(nn.Linear(2, 2), nn.Tanh(), KANLayer(2, 3)).double(),
    "half constant": HalfConstant(),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
def test_network_gradient_is_that_of_autograd_sample_by_sample(network: nn.Module) -> None:
    x = points()
    jacobians = [torch.autograd.functional.jacobian(network, z.unsqueeze(0)) for z in x]
    expected = torch.stack([jacobian.abs().sum() for jacobian in jacobians])
    got = GradientDensity(power=1, epsilon=0)(context_of(network, x))
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("outside", ["linear", "zero"])
@pytest.mark.parametrize("degree", [1, 3, 5])
def test_layer_gradient_is_each_input_s_own_part_of_the_jacobian(degree: int, outside: str) -> None:
    layer = KANLayer(
        3,
        2,
        spline_order=degree,
        outside=outside,  # type: ignore[arg-type]
        dtype=torch.float64,
    )
    x = points(n_in=3)
    jacobian = torch.stack([torch.autograd.functional.jacobian(layer, z) for z in x])
    got = GradientDensity("layer", power=1, epsilon=0)(context_of(layer, x))
    torch.testing.assert_close(got, jacobian.abs().sum(1), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scope", ["network", "layer"])
@pytest.mark.parametrize(("power", "epsilon"), [(1, 0.1), (0.5, 0), (0.25, 3.0), (2, 1e-8)])
def test_weights_are_the_slope_and_epsilon_to_the_power(
    scope: str, power: float, epsilon: float
) -> None:
    context = context_of(KAN([2, 3, 1], dtype=torch.float64), points())
    plain = GradientDensity(scope, 1, 0)(context)  # type: ignore[arg-type]
    got = GradientDensity(scope, power, epsilon)(context)  # type: ignore[arg-type]
    torch.testing.assert_close(got, (plain + epsilon) ** power, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_a_ramp_has_the_root_of_its_slope_for_weight_and_epsilon_s_where_it_is_flat(
    scope: str,
) -> None:
    network = KAN([1, 1], grid_size=20, spline_order=1, dtype=torch.float64)
    (layer,) = network.layers
    with torch.no_grad():  # a ramp from 0 to 1 between x = 0.2 and 0.4, flat on both sides
        layer.edge_scale.fill_(1)
        layer.base_weight.zero_()
        layer.coefficients[0, 0] = ((layer.knots[0, 1:-1] - 0.2) / 0.2).clamp(0, 1)
    x = torch.linspace(-1, 1, 2001, dtype=torch.float64).unsqueeze(1)
    report = adapt_grids(network, x, GradientDensity(scope), 12)  # type: ignore[arg-type]
    grid = report.layers[0].new_breakpoints
    assert int(((grid - 0.3).abs() < 0.25).sum()) >= 9
    weights = report.layers[0].weights.reshape(-1)
    on = (x[:, 0] - 0.3).abs() < 0.0995
    torch.testing.assert_close(weights[on], torch.full_like(weights[on], 5**0.5))
    off = (x[:, 0] - 0.3).abs() > 0.1005
    torch.testing.assert_close(weights[off], torch.full_like(weights[off], 1e-4), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scope": "net"}, "scope must be 'network' or 'layer', got 'net'"),
        ({"power": 0}, "power must be positive, got 0: try 0.5"),
        ({"power": float("nan")}, "power must be positive, got nan"),
        ({"epsilon": -1e-9}, "epsilon must be at least 0, got -1e-09"),
        ({"epsilon": float("inf")}, "epsilon must be at least 0, got inf"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        GradientDensity(**settings)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
