"""Networks whose knots have moved, to be exported."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from kanlit.adaptation import kan_layers
from kanlit.modules import RegressionModule
from kanlit.nn import KANLayer


@pytest.fixture
def moved() -> Callable[[KANLayer, int], None]:
    """Puts a layer on uneven knots of another G, with random coefficients."""

    def move(layer: KANLayer, grid_size: int) -> None:
        steps = torch.rand(layer.in_features, grid_size + 1, dtype=torch.float64) + 0.05
        breakpoints = steps.cumsum(1)
        breakpoints = 3 * (breakpoints - breakpoints[:, :1]) / breakpoints[:, -1:] - 1.3
        shape = (layer.out_features, layer.in_features, grid_size + layer.spline_order)
        layer.set_grid(layer.knots_for(breakpoints), torch.randn(shape, dtype=torch.float64))

    return move


@pytest.fixture
def module(moved: Callable[[KANLayer, int], None]) -> RegressionModule:
    """A regression module of two inputs and two targets, far from the standard scale."""
    made = RegressionModule(2, 2, hidden=[4])
    for layer in kan_layers(made).values():
        moved(layer, 7)
    made.input_mean.copy_(torch.tensor([300.0, -0.02]))
    made.input_std.copy_(torch.tensor([20.0, 0.001]))
    made.target_mean.copy_(torch.tensor([5.0, 0.0]))
    made.target_std.copy_(torch.tensor([3.0, 1e4]))
    return made.eval().requires_grad_(False)
