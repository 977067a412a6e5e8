"""The exportable layer computes what the KAN layer does, wherever a point lies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kanlit.export.layer import ExportableLayer, exportable
from kanlit.nn import KAN, KANLayer
from kanlit.splines import Outside

Move = Callable[[KANLayer, int], None]


def points(layer: KANLayer) -> Tensor:
    """Inside the grid, at its breakpoints and next to them, outside, far outside."""
    at = layer.breakpoints.T
    infinity = torch.tensor(torch.inf, dtype=at.dtype)
    around = 40 * torch.rand(200, layer.in_features, dtype=at.dtype) - 20
    inside = 3 * torch.rand(200, layer.in_features, dtype=at.dtype) - 1.3
    return torch.cat([at, at.nextafter(infinity), at.nextafter(-infinity), inside, around])


@pytest.mark.parametrize("grid_size", [1, 3, 40])
@pytest.mark.parametrize("out_features", [2, 17])  # polynomials gathered, bases summed
@pytest.mark.parametrize("spline_order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("outside", ["linear", "zero"])
def test_it_agrees_with_the_layer_to_the_last_digits(
    outside: Outside, spline_order: int, out_features: int, grid_size: int, moved: Move
) -> None:
    layer = KANLayer(
        3, out_features, spline_order=spline_order, outside=outside, dtype=torch.float64
    )
    moved(layer, grid_size)
    twin = ExportableLayer(layer)

    assert twin.curves.sums_bases == (out_features == 17)
    x = points(layer)
    torch.testing.assert_close(twin(x), layer(x).detach(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("outside", ["linear", "zero"])
def test_it_finds_the_piece_that_the_layer_finds_in_float32(outside: Outside, moved: Move) -> None:
    layer = KANLayer(3, 2, outside=outside)
    moved(layer, 30)
    x, edges = points(layer), layer._basis.pieces.breakpoints

    counted = (x.unsqueeze(-1) >= edges).sum(-1)
    assert torch.equal(counted.T, torch.searchsorted(edges, x.T.contiguous(), right=True))
    found = ExportableLayer(layer)(x)
    torch.testing.assert_close(found, layer(x).detach(), rtol=1e-4, atol=1e-3)


def test_a_network_is_copied_with_all_its_layers_made_exportable(moved: Move) -> None:
    network = torch.nn.Sequential(KAN([2, 3, 1]), torch.nn.Tanh(), KANLayer(1, 1))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    twin = exportable(network)

    kinds = [type(m) for m in twin.modules() if isinstance(m, (KANLayer, ExportableLayer))]
    assert kinds == [ExportableLayer] * 3
    x = 4 * torch.rand(50, 2) - 2
    torch.testing.assert_close(twin(x), network(x).detach())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert isinstance(exportable(KANLayer(2, 2)), ExportableLayer)
