"""Strengths of penalties chosen by the data."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from torch import Tensor

from kanlit.adaptation.optimizer_state import forget
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN
from kanlit.optim import LevenbergMarquardt, Residual
from kanlit.optim.smoothing import edge_forms


def wave(rows: int, noise: float, inputs: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = 2 * torch.rand(rows, inputs, generator=generator, dtype=torch.float64) - 1
    normal = torch.randn(rows, 1, generator=generator, dtype=torch.float64)
    return x, torch.sin(3 * x[:, :1]) + noise * normal


def smoothed(network: KAN, x: Tensor, y: Tensor, steps: int = 60) -> LevenbergMarquardt:
    optimizer = LevenbergMarquardt(network.parameters(), smoothness="auto")
    for _ in range(steps):
        optimizer.step(lambda: {"data": Residual(network(x) - y)})
    return optimizer


def small(*widths: int, grid_size: int = 6) -> KAN:
    generator = torch.Generator().manual_seed(0)
    return KAN(widths, grid_size=grid_size, generator=generator, dtype=torch.float64)


def test_the_strengths_maximize_the_marginal_likelihood_of_a_linear_model() -> None:
    x, y = wave(40, 0.2)
    network = small(1, 1)
    found = smoothed(network, x, y).found
    assert found is not None

    layer = network.layers[0]
    bases = layer.exact_basis.values(x, 0)[:, 0].numpy()
    silu = torch.nn.functional.silu(x).numpy()
    design = np.hstack([bases, silu, np.ones_like(silu)])
    straight, vanish = edge_forms(layer)[:, 0].numpy()
    bias = float((network(x) - y).detach().square().mean()) / found.noise

    def minus_log_likelihood(logs: np.ndarray) -> float:
        precision = 0.01 * np.eye(design.shape[1]) * bias
        precision[:-1, :-1] += np.exp(logs[0]) * straight + np.exp(logs[1]) * vanish
        covariance = design @ np.linalg.solve(precision, design.T)
        covariance += np.exp(logs[2]) * np.eye(len(x))
        return -multivariate_normal.logpdf(y[:, 0].numpy(), cov=covariance)

    best = minimize(minus_log_likelihood, [0.0, 0.0, -3.0], method="Nelder-Mead")
    assert found.evidence == pytest.approx(-best.fun, abs=0.01)
    assert found.noise == pytest.approx(math.exp(best.x[2]), rel=0.02)


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_the_degrees_of_freedom_are_fewer_than_parameters_and_residuals(noise: float) -> None:
    x, y = wave(30, noise)
    network = small(1, 3, 1)
    found = smoothed(network, x, y, 20).found
    assert found is not None
    assert 0 < found.freedom < min(30, sum(p.numel() for p in network.parameters()))


def test_without_noise_the_penalties_vanish() -> None:
    x, y = wave(200, 0.0)
    network = small(1, 1, grid_size=20)
    optimizer = smoothed(network, x, y)
    (strengths,), _ = optimizer.strengths(list(network.layers))
    assert float(strengths.max()) < 1e-6
    assert float((network(x) - y).detach().norm() / y.norm()) < 1e-5


def test_an_edge_that_the_targets_do_not_need_vanishes() -> None:
    x, y = wave(100, 0.05, inputs=2)
    network = small(2, 1)
    smoothed(network, x, y)
    sizes = network.layers[0].edge_functions(x).detach().std(0).flatten()
    assert float(sizes[1]) < 0.02 * float(sizes[0])


def test_a_smooth_fit_is_closer_to_the_truth_than_the_targets() -> None:
    x, y = wave(60, 0.2)
    network = small(1, 1, grid_size=20)
    smoothed(network, x, y)
    assert float((network(x) - torch.sin(3 * x)).detach().square().mean().sqrt()) < 0.08


def test_saved_strengths_continue_exactly() -> None:
    x, y = wave(50, 0.2)
    straight, resumed = small(1, 2, 1), small(1, 2, 1)
    smoothed(straight, x, y, 12)
    first = smoothed(resumed, x, y, 7)
    second = LevenbergMarquardt(resumed.parameters(), smoothness="auto")
    second.load_state_dict(first.state_dict())
    for _ in range(5):
        second.step(lambda: {"data": Residual(resumed(x) - y)})
    for own, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(own, other)


def test_auto_smoothness_takes_no_other_penalty() -> None:
    with pytest.raises(ConfigurationError, match="remove ridge"):
        LevenbergMarquardt(small(1, 1).parameters(), smoothness="auto", ridge=1e-3)


def test_auto_smoothness_needs_every_spline_parameter() -> None:
    network = small(1, 1)
    x, y = wave(20, 0.1)
    network.layers[0].base_weight.requires_grad_(False)
    held = [p for p in network.parameters() if p.requires_grad]
    optimizer = LevenbergMarquardt(held, smoothness="auto")
    with pytest.raises(ConfigurationError, match="base weights"):
        optimizer.step(lambda: {"data": Residual(network(x) - y)})


def test_restored_weights_keep_the_strengths() -> None:
    x, y = wave(40, 0.1)
    network = small(1, 1)
    optimizer = smoothed(network, x, y, 10)
    layers = network.layers
    (before,), steps = optimizer.strengths(layers)
    forget(optimizer, keep=optimizer.lasting_state)
    (after,), still = optimizer.strengths(layers)
    torch.testing.assert_close(after, before)
    assert steps == still == 10
    assert optimizer._damping(list(network.parameters()))[0] == 1e-2
