"""A network is its layers one after another; its derivatives come forward, exactly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kanlit.nn import KAN
from kanlit.splines import Outside, project


def make_net(
    widths: tuple[int, ...] = (2, 4, 3, 2),
    degree: int = 3,
    outside: Outside = "linear",
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> KAN:
    """A network with large enough weights that some hidden units leave their grid."""
    net = KAN(
        widths,
        grid_size=4,
        spline_order=degree,
        outside=outside,
        generator=torch.Generator().manual_seed(seed),
        dtype=dtype,
    )
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.6, generator=generator)
    return net


def nested_autograd(net: KAN, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value ``(n, out)``, gradient ``(n, out, in)`` and Hessian ``(n, out, in, in)``."""
    x = x.clone().requires_grad_()
    value = net(x)
    gradients, hessians = [], []
    for out in range(value.shape[1]):
        (gradient,) = torch.autograd.grad(value[:, out].sum(), x, create_graph=True)
        rows = [
            torch.autograd.grad(gradient[:, d].sum(), x, retain_graph=True)[0]
            for d in range(x.shape[1])
        ]
        gradients.append(gradient)
        hessians.append(torch.stack(rows, dim=1))
    return value, torch.stack(gradients, dim=1), torch.stack(hessians, dim=1)


def close(ours: Tensor, expected: Tensor, tolerance: float = 1e-10) -> bool:
    assert ours.shape == expected.shape
    return bool((ours - expected).abs().max() < tolerance * (1 + expected.abs().max()))


@pytest.mark.parametrize("path", ["narrow", "wide", "kernel"])
@pytest.mark.parametrize("outside", ["linear", "zero"])
@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_sweep_agrees_with_nested_autograd(
    degree: int, outside: Outside, path: str, force_path: Callable[[str], None]
) -> None:
    force_path(path)
    net = make_net(degree=degree, outside=outside)
    x = torch.rand(60, 2, dtype=torch.float64) * 3 - 1.5
    hidden = net.layers[0](x)
    assert (hidden.abs() > 1).any()
    assert (hidden.abs() < 1).any()
    value, gradient, hessian = nested_autograd(net, x)
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1)]
    swept = net.sweep(x, pairs)
    assert close(swept.value, value)
    assert close(swept.gradient, gradient)
    assert close(swept.second, hessian.flatten(2))
    diagonal = net.sweep(x)
    assert close(diagonal.second, hessian.diagonal(dim1=2, dim2=3))


def test_sweep_without_pairs_gives_value_and_gradient_alone() -> None:
    net = make_net()
    x = torch.rand(7, 2, dtype=torch.float64)
    value, gradient, _ = nested_autograd(net, x)
    swept = net.sweep(x, [])
    assert close(swept.value, value)
    assert close(swept.gradient, gradient)
    assert swept.second.shape == (7, 2, 0)


@pytest.mark.parametrize("n", [0, 1])
def test_sweep_takes_no_point_and_one(n: int) -> None:
    swept = make_net().sweep(torch.rand(n, 2, dtype=torch.float64))
    assert [tuple(each.shape) for each in swept] == [(n, 2), (n, 2, 2), (n, 2, 2)]


def test_sweep_of_one_layer_is_that_of_its_edge_functions() -> None:
    net = make_net((3, 2))
    layer = net.layers[0]
    x = torch.rand(9, 3, dtype=torch.float64) * 3 - 1.5
    swept = net.sweep(x)
    assert close(swept.gradient, layer.edge_functions(x, 1).mT, 1e-12)
    assert close(swept.second, layer.edge_functions(x, 2).mT, 1e-12)


@pytest.mark.parametrize("path", ["narrow", "wide", "kernel"])
@pytest.mark.parametrize("outside", ["linear", "zero"])
def test_parameter_gradients_of_a_pde_residual_pass_gradcheck(
    outside: Outside, path: str, monkeypatch: pytest.MonkeyPatch, force_path: Callable[[str], None]
) -> None:
    force_path(path)
    net = make_net((2, 2, 1), outside=outside)
    x = torch.rand(5, 2, dtype=torch.float64) * 2 - 1
    parameters = {name: p.detach().clone().requires_grad_() for name, p in net.named_parameters()}

    def residual(*values: Tensor) -> Tensor:
        named = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(net, named, (x,))

    def forward(self: KAN, x: Tensor) -> Tensor:
        swept = self.sweep(x, [(0, 0), (1, 1), (0, 1)])
        return swept.second.sum(-1) + swept.value * swept.gradient.sum(-1)

    monkeypatch.setattr(KAN, "forward", forward)
    assert torch.autograd.gradcheck(residual, tuple(parameters.values()))


@pytest.mark.parametrize("degree", [3, 4])
def test_third_derivatives_come_from_autograd_of_the_sweep(degree: int) -> None:
    net = make_net((1, 3, 1), degree=degree)
    x = torch.rand(6, 1, dtype=torch.float64, requires_grad=True)
    (third,) = torch.autograd.grad(net.sweep(x).second.sum(), x)
    step = 1e-5
    with torch.no_grad():
        bends = [net.sweep(x + shift).second for shift in (step, -step)]
    expected = (bends[0] - bends[1]).flatten(1) / (2 * step)
    torch.testing.assert_close(third, expected, rtol=1e-5, atol=1e-5)


def test_network_is_its_layers_one_after_another() -> None:
    net = make_net()
    x = torch.randn(3, 5, 2, dtype=torch.float64)
    y = x
    for layer in net.layers:
        y = layer(y)
    assert torch.equal(net(x), y)
    sizes = [(layer.in_features, layer.out_features) for layer in net.layers]
    assert sizes == [(2, 4), (4, 3), (3, 2)]


def test_one_seed_gives_one_network_and_no_two_equal_layers() -> None:
    def net(seed: int) -> KAN:
        return KAN([3, 3, 3, 3], generator=torch.Generator().manual_seed(seed))

    first, again, other = net(7), net(7), net(8)
    for a, b, c in zip(first.layers, again.layers, other.layers, strict=True):
        assert torch.equal(a.coefficients, b.coefficients)
        assert torch.equal(a.base_weight, b.base_weight)
        assert not torch.equal(a.coefficients, c.coefficients)
    weights = [layer.coefficients for layer in first.layers]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_given_generator_leaves_torchs_own_alone() -> None:
    before = torch.get_rng_state()
    KAN([2, 3, 1], generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_settings_reach_every_layer() -> None:
    net = KAN(
        [2, 3, 1],
        grid_size=6,
        spline_order=2,
        grid_range=(0.0, 2.0),
        outside="zero",
        dtype=torch.float64,
    )
    for layer in net.layers:
        assert (layer.grid_size, layer.spline_order, layer.outside) == (6, 2, "zero")
        assert layer.breakpoints[0, 0] == 0
        assert layer.breakpoints[0, -1] == 2
        assert layer.coefficients.dtype == torch.float64


def resized(net: KAN, *grid_sizes: int) -> KAN:
    """The network with each layer on a uniform grid of its own size."""
    for layer, grid_size in zip(net.layers, grid_sizes, strict=True):
        b = torch.linspace(-1.5, 1.2, grid_size + 1, dtype=torch.float64)
        knots = layer.knots_for(b.repeat(layer.in_features, 1))
        weight = project(layer.coefficients.detach(), layer.knots, knots, layer.spline_order)
        layer.set_grid(knots, weight)
    return net


@pytest.mark.parametrize("grid_sizes", [(1, 9, 2), (12, 12, 12), (1, 1, 1)])
def test_network_takes_each_layers_size_from_the_state_it_loads(
    grid_sizes: tuple[int, int, int],
) -> None:
    source, net = resized(make_net(seed=3), *grid_sizes), make_net()
    parameters = list(net.parameters())
    net.load_state_dict(source.state_dict())
    assert tuple(layer.grid_size for layer in net.layers) == grid_sizes
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))
    x = torch.randn(20, 2, dtype=torch.float64)
    assert torch.equal(net(x), source(x))


def test_state_of_other_widths_raises_torchs_usual_error() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        make_net((2, 4, 1)).load_state_dict(make_net((2, 5, 1)).state_dict())


@pytest.mark.parametrize("widths", [[], [2], [2, 0, 1], [0, 1], [2, -3]])
def test_widths_that_make_no_network_are_refused(widths: list[int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        KAN(widths)
