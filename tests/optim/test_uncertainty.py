"""Standard deviations of a network's outputs."""

from __future__ import annotations

import pytest
import torch

from kanlit.nn import KAN
from kanlit.optim import LevenbergMarquardt, Residual
from kanlit.optim.uncertainty import output_variances


def test_variances_are_those_of_the_linearized_network() -> None:
    generator = torch.Generator().manual_seed(0)
    network = KAN([2, 3, 2], generator=generator, dtype=torch.float64)
    x = torch.rand(5, 2, generator=generator, dtype=torch.float64)
    held = {n: p for n, p in network.named_parameters() if not n.endswith("edge_scale")}
    count = sum(p.numel() for p in held.values())
    root = torch.randn(count, count, generator=generator, dtype=torch.float64)
    covariance = root @ root.T
    expected = torch.empty(5, 2, dtype=torch.float64)
    for row in range(5):
        for output in range(2):
            value = network(x[row : row + 1])[0, output]
            gradient = torch.cat(
                [g.flatten() for g in torch.autograd.grad(value, list(held.values()))]
            )
            expected[row, output] = gradient @ covariance @ gradient
    network.requires_grad_(False)
    torch.testing.assert_close(output_variances(network, x, covariance), expected)
    with torch.no_grad():  # as in a prediction; all variances were 0
        torch.testing.assert_close(output_variances(network, x, covariance), expected)
    assert not any(p.requires_grad for p in network.parameters())


def test_a_covariance_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="the network has"):
        output_variances(KAN([1, 1]), torch.zeros(2, 1), torch.eye(3).double())


def test_intervals_contain_new_targets_about_as_often_as_they_say() -> None:
    generator = torch.Generator().manual_seed(1)

    def sample(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = 2 * torch.rand(rows, 1, generator=generator, dtype=torch.float64) - 1
        noise = torch.randn(rows, 1, generator=generator, dtype=torch.float64)
        return x, torch.sin(3 * x) + 0.3 * noise

    x, y = sample(80)
    network = KAN([1, 1], grid_size=8, generator=generator, dtype=torch.float64)
    optimizer = LevenbergMarquardt(network.parameters(), smoothness="auto")
    for _ in range(30):
        optimizer.step(lambda: {"data": Residual(network(x) - y)})
    found = optimizer.found
    assert found is not None
    new_x, new_y = sample(4000)
    std = (output_variances(network, new_x, found.covariance) + found.noise).sqrt()
    inside = ((new_y - network(new_x)).abs() < 1.96 * std).double().mean()
    assert 0.9 < float(inside) < 0.98
