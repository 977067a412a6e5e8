"""The penalties are what they say: a square of the parameters, an integral of curvature."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from kanlit.nn import KAN, KANLayer
from kanlit.optim.jacobian import JacobianColumns
from kanlit.optim.penalty import Penalty, roughness
from kanlit.splines import bspline_basis

DOUBLE = torch.float64


def uneven_layer(order: int = 3) -> KANLayer:
    layer = KANLayer(2, 3, grid_size=4, spline_order=order, dtype=DOUBLE)
    breakpoints = torch.tensor([[-1.0, -0.9, 0.2, 0.3, 2.0], [0.0, 0.5, 0.6, 0.7, 1.0]])
    layer.set_grid(layer.knots_for(breakpoints.double()), layer.coefficients.detach())
    nn.init.uniform_(layer.edge_scale, 0.5, 1.5)
    return layer


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_roughness_is_the_integral_of_the_squared_second_derivative(order: int) -> None:
    layer = uneven_layer(order)
    expected = []
    for low, high in layer.breakpoints[:, [0, -1]].tolist():
        cells = 100_000
        x = low + (high - low) * (torch.arange(cells, dtype=DOUBLE) + 0.5) / cells
        second = bspline_basis(x.unsqueeze(1).expand(-1, 2), layer.knots, order, 2)
        expected.append((high - low) ** 4 * torch.einsum("nib,nic->ibc", second, second) / cells)
    form = roughness(layer)
    for feature in range(2):
        scale = max(1.0, float(form[feature].abs().max()))
        torch.testing.assert_close(
            form[feature], expected[feature][feature], rtol=1e-3, atol=1e-5 * scale
        )


def test_roughness_does_not_depend_on_the_unit_of_the_inputs() -> None:
    layer = uneven_layer()
    before = roughness(layer)
    layer.set_grid(layer.knots_for(7 * layer.breakpoints - 2), layer.coefficients.detach())
    torch.testing.assert_close(roughness(layer), before, rtol=1e-9, atol=1e-9)


def test_straight_lines_are_smooth() -> None:
    layer = uneven_layer()
    greville = layer.knots.unfold(1, 3, 1)[:, 1:-1].mean(-1)  # coefficients of x itself
    lines = torch.einsum("ib,ibc,ic->i", greville, roughness(layer), greville)
    assert lines.abs().max() < 1e-9


@pytest.mark.parametrize(("ridge", "smoothness"), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_value_gradient_and_matrix_are_of_one_form(ridge: float, smoothness: float) -> None:
    network = KAN([2, 3, 1], dtype=DOUBLE)
    layers = list(network.layers)
    columns = JacobianColumns([p for n, p in network.named_parameters() if "edge_scale" not in n])
    penalty = Penalty(ridge, smoothness, columns, layers)  # type: ignore[arg-type]
    theta = columns.gather()

    expected = ridge * sum(float(p.detach().square().sum()) for p in columns.parameters)
    for layer in layers:
        c = (layer.edge_scale.unsqueeze(-1) * layer.coefficients).detach()
        expected += smoothness * float(torch.einsum("oib,ibc,oic->", c, roughness(layer), c))
    assert penalty.value(theta) == pytest.approx(expected, rel=1e-12)

    matrix = torch.zeros(len(theta), len(theta), dtype=DOUBLE)
    penalty.add_to(matrix)
    assert torch.equal(matrix, matrix.T)
    torch.testing.assert_close(matrix @ theta, penalty.apply(theta))


def test_smoothness_leaves_the_other_parameters_alone() -> None:
    layer = uneven_layer()
    columns = JacobianColumns([layer.base_weight, layer.coefficients, layer.bias])
    matrix: Tensor = torch.zeros(columns.count, columns.count, dtype=DOUBLE)
    Penalty(0.0, 1.0, columns, [layer]).add_to(matrix)
    for parameter in (layer.base_weight, layer.bias):
        assert not matrix[columns.slice_of(parameter)].any()
    assert matrix[columns.slice_of(layer.coefficients)].any()
