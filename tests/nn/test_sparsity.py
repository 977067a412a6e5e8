"""Sparsity is the L1 norm and the entropy of the edges' mean absolute outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from kanlit.nn import KAN, KANLayer, edge_magnitudes, sparsity_penalty


def make_layers(widths: tuple[int, ...] = (3, 4, 2)) -> Sequence[KANLayer]:
    network = KAN(widths, grid_size=4, dtype=torch.float64)
    return network.layers


def test_magnitudes_are_those_of_the_edges_on_what_each_layer_sees() -> None:
    first, second = make_layers()
    x = torch.randn(20, 3, dtype=torch.float64)

    found = edge_magnitudes([first, second], x)

    for layer, seen, magnitude in ((first, x, found[0]), (second, first(x), found[1])):
        for q in range(layer.out_features):
            for p in range(layer.in_features):
                edge = layer.edge_functions(seen)[:, p, q]
                torch.testing.assert_close(magnitude[q, p], edge.abs().mean())


def test_l1_is_the_sum_of_magnitudes_over_edges_and_layers() -> None:
    magnitudes = [torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]])]

    torch.testing.assert_close(sparsity_penalty(magnitudes, 0.5, 0.0), torch.tensor(5.0))


@pytest.mark.parametrize("shape", [(1, 1), (3, 2)])
def test_entropy_is_greatest_where_all_edges_do_the_same_and_0_where_one_does_all(
    shape: tuple[int, int],
) -> None:
    one = torch.zeros(shape)
    one[0, 0] = 7.0
    torch.testing.assert_close(
        sparsity_penalty([torch.full(shape, 0.3)], 0.0, 1.0), torch.tensor(math.log(one.numel()))
    )
    torch.testing.assert_close(sparsity_penalty([one], 0.0, 1.0), torch.tensor(0.0))


def test_dead_edges_and_dead_layers_leave_value_and_gradient_finite() -> None:
    for values in ([[0.0, 1.0, 2.0]], [[0.0, 0.0, 0.0]]):
        magnitude = torch.tensor(values, requires_grad=True)
        penalty = sparsity_penalty([magnitude], 0.0, 1.0)
        penalty.backward()
        assert torch.isfinite(penalty)
        assert magnitude.grad is not None
        assert torch.isfinite(magnitude.grad).all()


def test_gradient_is_that_of_finite_differences() -> None:
    layers = make_layers((2, 3, 1))
    x = torch.randn(15, 2, dtype=torch.float64)
    parameters = [layers[0].coefficients, layers[0].base_weight, layers[1].edge_scale]

    def penalty(*_: Tensor) -> Tensor:
        return sparsity_penalty(edge_magnitudes(layers, x), 0.7, 0.3)

    assert torch.autograd.gradcheck(penalty, parameters)
