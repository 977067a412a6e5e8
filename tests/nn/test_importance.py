"""A node hands all its importance on to its incoming edges, by the spread of their outputs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from kanlit.nn import KAN, KANLayer, edge_importance, grid_samples
from kanlit.nn import importance as importance_module


def make_layers(widths: tuple[int, ...] = (3, 4, 2), seed: int = 0) -> Sequence[KANLayer]:
    generator = torch.Generator().manual_seed(seed)
    network = KAN(widths, grid_size=4, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.5 * noise)
    return network.layers


def kill(layer: KANLayer, output: int | slice, input_: int | slice) -> None:
    with torch.no_grad():
        layer.coefficients[output, input_] = 0.0
        layer.base_weight[output, input_] = 0.0


def test_one_layer_shares_out_the_deviations_of_its_edges() -> None:
    (layer,) = make_layers((3, 2))
    x = grid_samples(layer)
    deviation = layer.edge_functions(x).std(0, correction=0).T

    (found,) = edge_importance([layer], x)

    torch.testing.assert_close(found, (deviation / deviation.sum(1, keepdim=True)).detach())


def test_incoming_edges_have_what_the_outgoing_ones_have_together() -> None:
    first, second = make_layers()
    low, high = edge_importance([first, second], grid_samples(first))

    torch.testing.assert_close(high.sum(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(low.sum(1), high.sum(0))


def test_dead_edge_has_none() -> None:
    first, second = make_layers()
    kill(first, 1, 2)
    low, _ = edge_importance([first, second], grid_samples(first))

    assert low[1, 2] == 0
    assert (low > 0).sum() == low.numel() - 1


def test_node_that_nobody_uses_leaves_its_incoming_edges_none() -> None:
    first, second = make_layers()
    kill(second, slice(None), 1)
    low, high = edge_importance([first, second], grid_samples(first))

    assert not low[1].any()
    assert not high[:, 1].any()


def test_node_whose_value_is_constant_has_none() -> None:
    first, second = make_layers()
    kill(first, 1, slice(None))
    low, high = edge_importance([first, second], grid_samples(first))

    assert not low[1].any()
    assert not high[:, 1].any()


def test_dead_network_has_none_and_no_nan() -> None:
    first, second = make_layers()
    kill(second, slice(None), slice(None))

    assert not any(found.any() for found in edge_importance([first, second], grid_samples(first)))


@pytest.mark.parametrize("factor", [1e-6, -3.0, 1e6])
def test_factor_on_an_output_changes_nothing(factor: float) -> None:
    layers = make_layers()
    x = grid_samples(layers[0])
    before = edge_importance(layers, x)
    with torch.no_grad():
        layers[1].edge_scale[0] *= factor
        layers[1].base_weight[0] *= factor

    for after, expected in zip(edge_importance(layers, x), before, strict=True):
        torch.testing.assert_close(after, expected)


def test_samples_are_taken_in_parts_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = make_layers()
    x = grid_samples(layers[0])
    whole = edge_importance(layers, x)
    monkeypatch.setattr(importance_module, "_NUMBERS", 500)

    for part, expected in zip(edge_importance(layers, x), whole, strict=True):
        torch.testing.assert_close(part, expected)


def test_samples_fill_the_grid_of_each_input() -> None:
    layer = KANLayer(2, 1, grid_range=(-3.0, 5.0))
    low, high = grid_samples(layer).aminmax(dim=0)

    assert bool((low >= -3).all() and (low < -2.9).all())
    assert bool((high <= 5).all() and (high > 4.9).all())


def test_layers_that_do_not_follow_one_another_are_refused() -> None:
    with pytest.raises(
        ValueError, match="a layer with 4 outputs is followed by a layer with 3 inputs"
    ):
        edge_importance([KANLayer(2, 4), KANLayer(3, 1)], torch.zeros(5, 2))


@pytest.mark.parametrize("shape", [(1, 2), (5, 3), (5,)])
def test_samples_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"samples must be \(n, 2\) with n >= 2, got"):
        edge_importance([KANLayer(2, 4)], torch.zeros(shape))
