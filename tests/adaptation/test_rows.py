"""Weights of samples reach every row that a layer sees of them, whatever lies before it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kanlit.adaptation import (
    BlendedDensity,
    CurvatureDensity,
    DeBoorDensity,
    ErrorDensity,
    GradientDensity,
    ImportanceContext,
    ImportanceDensity,
    LossDensity,
    adapt_grids,
    check_adaptable,
    kan_layers,
)
from kanlit.adaptation.density.derivatives import first_derivatives, second_derivatives
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, KANLayer

SAMPLES, POSITIONS = 6, 4


def context(*leading: int) -> ImportanceContext:
    layer = KANLayer(2, 1)
    rows = torch.zeros(*leading, 2).reshape(-1, 2)
    return ImportanceContext(layer, rows, layer, torch.zeros(SAMPLES, 3), None, leading)


@pytest.mark.parametrize(
    ("leading", "expected"),
    [
        ((6,), lambda w: w),
        ((6, 4), lambda w: w.unsqueeze(1).expand(6, 4)),
        ((4, 6), lambda w: w.unsqueeze(0).expand(4, 6)),
        ((4, 6, 5), lambda w: w[None, :, None].expand(4, 6, 5)),
        ((24,), lambda w: w.unsqueeze(1).expand(6, 4)),  # flattened before the layer
        ((12, 6), lambda w: w[:, None, None].expand(6, 2, 6)),  # windows of each sample
    ],
)
def test_each_row_has_the_weight_of_its_sample(
    leading: tuple[int, ...], expected: Callable[[Tensor], Tensor]
) -> None:
    weights = torch.rand(SAMPLES)
    assert torch.equal(context(*leading).by_row(weights), expected(weights).reshape(-1))
    both = torch.stack([weights, 2 * weights], 1)
    assert torch.equal(context(*leading).by_row(both)[:, 1], 2 * expected(weights).reshape(-1))


def test_weights_of_rows_stay_as_they_are() -> None:
    weights = torch.rand(24, 2)
    assert context(6, 4).by_row(weights) is weights


def test_rows_that_belong_to_no_sample_are_refused_with_the_cure() -> None:
    with pytest.raises(ConfigurationError, match=r"6 samples .* 20 input rows .*DeBoorDensity"):
        context(20).by_row(torch.rand(SAMPLES))


class Image(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Conv2d(1, 3, 3)
        self.head = KANLayer(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.lift(x)).mean((2, 3)))


class Sequence(nn.Module):
    """A head on every position, then one on the mean, as in a transformer."""

    def __init__(self, position: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__()
        self.position = position
        self.each = KANLayer(2, 3)
        self.head = KANLayer(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.each(self.position(x)).reshape(-1, POSITIONS, 3)
        return self.head(seen.mean(1))


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convolutions": (Image, (1, 6, 6)),
    "positions": (Sequence, (POSITIONS, 2)),
    "flat positions": (lambda: Sequence(lambda x: x.reshape(-1, 2)), (POSITIONS, 2)),
    "a KAN on positions": (lambda: KAN([2, 3, 1]), (POSITIONS, 2)),
}
DENSITIES: dict[str, Callable[[], ImportanceDensity]] = {
    "default": BlendedDensity,
    "gradient": GradientDensity,
    "curvature": CurvatureDensity,
    "finite differences": lambda: CurvatureDensity(method="finite_difference"),
    "loss": LossDensity,
    "layer": lambda: GradientDensity("layer"),
    "De Boor": DeBoorDensity,
    "error": ErrorDensity,
}


@pytest.mark.parametrize("density", DENSITIES.values(), ids=DENSITIES)
@pytest.mark.parametrize(("make", "shape"), MODULES.values(), ids=MODULES)
def test_every_density_adapts_layers_that_see_images_and_sequences(
    make: Callable[[], nn.Module], shape: tuple[int, ...], density: Callable[[], ImportanceDensity]
) -> None:
    torch.manual_seed(0)
    network, x = make(), torch.randn(20, *shape)
    before = copy.deepcopy(network)(x)
    report = adapt_grids(network, x, density(), 8, sample_losses=torch.rand(20))
    assert {layer.grid_size for layer in kan_layers(network).values()} == {8}
    assert all(len(layer.weights) == len(layer.samples) for layer in report.layers)
    torch.testing.assert_close(network(x), before, rtol=0.1, atol=0.1)


def test_derivatives_of_images_and_sequences_are_those_of_their_flat_twin() -> None:
    torch.manual_seed(0)
    network, flat = KAN([4, 3, 2], dtype=torch.float64), torch.rand(5, 4, dtype=torch.float64)
    shaped = nn.Sequential(nn.Flatten(), network, nn.Unflatten(1, (1, 2)))
    x = flat.reshape(5, 2, 2)
    for of in (first_derivatives, second_derivatives):
        torch.testing.assert_close(of(shaped, x), of(network, flat), rtol=1e-9, atol=1e-9)


class Ignores(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = KANLayer(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x


class Pair(Ignores):
    def forward(self, x: Tensor) -> Any:
        return self.layer(x), x


class Tokens(Ignores):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.embed(x)).mean(1)


TOKENS = torch.tensor([[0, 1, 2], [3, 4, 0]])


@pytest.mark.parametrize(
    ("network", "x", "density", "message"),
    [
        (Ignores(), torch.rand(4, 2), DeBoorDensity(), "no KANLayer is used in the forward of Ign"),
        (Pair(), torch.rand(4, 2), DeBoorDensity(), "forward of Pair returns tuple"),
        (KAN([2, 1]), torch.rand(4, 3), DeBoorDensity(), r"fails on samples of shape \(3,\)"),
        (Tokens(), TOKENS, BlendedDensity(), "are torch.int64 and have no derivatives"),
        (Image(), torch.rand(2, 1, 99, 99), CurvatureDensity(), "19604 backward passes"),
        (Sequence(), torch.rand(4, POSITIONS, 2), LossDensity(), "needs the loss of each sample"),
    ],
)
def test_what_no_adaptation_can_work_with_is_refused_in_one_line(
    network: nn.Module, x: Tensor, density: ImportanceDensity, message: str
) -> None:
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ConfigurationError, match=message) as caught:
        check_adaptable(network, x, density)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_tokens_adapt_under_a_density_of_layer_scope() -> None:
    network = Tokens()
    check_adaptable(network, TOKENS, DeBoorDensity())
    adapt_grids(network, TOKENS, DeBoorDensity(), 5)
    assert network.layer.grid_size == 5
