"""Initial weights have the variances that their formulas state, and come from one generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.polynomial.legendre import leggauss
from scipy.interpolate import BSpline

from kanlit.nn import Initialization, KANLayer
from kanlit.splines import Outside


def large_layer(
    initialization: Initialization,
    *,
    n_in: int = 150,
    n_out: int = 250,
    degree: int = 3,
    outside: Outside = "linear",
    grid_range: tuple[float, float] = (-1.0, 1.0),
) -> KANLayer:
    return KANLayer(
        n_in,
        n_out,
        grid_size=4,
        spline_order=degree,
        grid_range=grid_range,
        outside=outside,
        initialization=initialization,
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float64,
    )


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def silu_slope(x: np.ndarray) -> np.ndarray:
    s = 1 / (1 + np.exp(-x))
    return s * (1 + x * (1 - s))


@pytest.mark.parametrize("outside", ["linear", "zero"])
@pytest.mark.parametrize("grid_range", [(-1.0, 1.0), (0.5, 4.5)])
@pytest.mark.parametrize("degree", [1, 3, 5])
def test_glorot_fine_variances_are_those_of_the_formula(
    degree: int, grid_range: tuple[float, float], outside: Outside
) -> None:
    layer = large_layer("glorot_fine", degree=degree, grid_range=grid_range, outside=outside)
    n_in, n_out, terms = 150, 250, 4 + degree + 1
    low, high = grid_range
    variance = (high - low) ** 2 / 12  # of x, uniform over the grid
    knots = layer.knots[0].numpy()
    node, weight = leggauss(12)
    breakpoints = knots[degree:-degree]
    x = (breakpoints[:-1, None] + np.diff(breakpoints)[:, None] * (1 + node) / 2).ravel()

    def mean(values: np.ndarray) -> float:
        return float(np.tile(weight / 2, 4) @ values) / 4  # four intervals of equal width

    observed = layer.coefficients.detach().var((0, 1))
    for i in range(4 + degree):
        basis = BSpline(knots, np.eye(4 + degree)[i], degree)
        value = mean(basis(x) ** 2)
        slope = mean(basis(x, nu=1) ** 2)
        expected = variance / (terms * (n_in * value + n_out * slope))
        assert observed[i].item() == pytest.approx(expected, rel=0.05)
    expected = mean(n_in * silu(x) ** 2 + n_out * silu_slope(x) ** 2)
    expected = 2 * variance / (terms * expected)
    assert layer.base_weight.detach().var().item() == pytest.approx(expected, rel=0.05)


def test_plain_variances_are_those_of_the_formula() -> None:
    layer = large_layer("plain")
    assert layer.coefficients.detach().var().item() == pytest.approx(0.01 / 150, rel=0.05)
    assert layer.base_weight.detach().var().item() == pytest.approx(1 / (3 * 150), rel=0.05)
    assert layer.base_weight.detach().abs().max() <= 150**-0.5


@pytest.mark.parametrize("initialization", ["glorot_fine", "plain"])
def test_weights_are_centred_scales_one_and_biases_zero(initialization: Initialization) -> None:
    layer = large_layer(initialization)
    for weight in (layer.coefficients.detach(), layer.base_weight.detach()):
        assert abs(weight.mean()) < 4 * weight.std() / weight.numel() ** 0.5
    assert (layer.edge_scale == 1).all()
    assert (layer.bias == 0).all()


@pytest.mark.parametrize("initialization", ["glorot_fine", "plain"])
def test_every_parameter_can_be_trained_after_initialization(
    initialization: Initialization,
) -> None:
    layer = KANLayer(2, 3, initialization=initialization)
    layer(torch.rand(20, 2) * 2 - 1).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.requires_grad
        assert parameter.is_leaf
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize("initialization", ["glorot_fine", "plain"])
def test_one_generator_gives_one_layer_and_then_another(initialization: Initialization) -> None:
    def two(seed: int) -> list[KANLayer]:
        generator = torch.Generator().manual_seed(seed)
        return [
            KANLayer(3, 3, initialization=initialization, generator=generator) for _ in range(2)
        ]

    first, second = two(0), two(0)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.coefficients, b.coefficients)
        assert torch.equal(a.base_weight, b.base_weight)
    assert not torch.equal(first[0].coefficients, first[1].coefficients)
    assert not torch.equal(first[0].base_weight, first[1].base_weight)


def test_signal_neither_dies_nor_explodes_through_a_deep_network() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(200, 16, dtype=torch.float64, generator=generator) * 2 - 1
    for _ in range(6):
        layer = KANLayer(16, 16, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            x = layer(x)
    assert 1e-4 < x.std() < 10
