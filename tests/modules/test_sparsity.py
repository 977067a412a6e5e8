"""A module's training step takes the sparsity of its edges into the loss, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kanlit.data import HelmholtzData, SyntheticData, TensorDataModule
from kanlit.errors import ConfigurationError
from kanlit.modules import KANModule, PDEModule, RegressionModule
from kanlit.nn import edge_magnitudes, sparsity_penalty
from kanlit.optim import LevenbergMarquardt
from running import trainer_for

SPARSE: dict[str, float] = {"sparsity_l1": 0.1, "sparsity_entropy": 0.02}


def fit(module: KANModule, data: TensorDataModule, epochs: int = 1) -> None:
    trainer_for(epochs, limit_val_batches=0).fit(module, data)


def regression(**settings: Any) -> RegressionModule:
    torch.manual_seed(0)
    return RegressionModule(2, 1, hidden=[4], **settings)


@pytest.mark.parametrize("kind", ["regression", "equation"])
def test_a_step_is_that_of_loss_and_sparsity_together(kind: str) -> None:
    def sgd(p: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(p, lr=0.1)

    if kind == "regression":
        data: TensorDataModule = SyntheticData("f7", samples=40, standardize=False)
        module: KANModule = regression(optimizer=sgd, **SPARSE)
    else:
        data = HelmholtzData(points_per_axis=5, boundary_points=4)
        torch.manual_seed(0)
        module = PDEModule(2, 1, hidden=[4], optimizer=sgd, **SPARSE)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    fit(module, data)
    after = {name: p.detach().clone() for name, p in module.named_parameters()}

    for name, parameter in module.named_parameters():
        parameter.data.copy_(before[name])
        parameter.grad = None
    (batch,) = data.train_dataloader()
    x = module.adaptation_inputs(batch)
    penalty = sparsity_penalty(edge_magnitudes(list(module.network.layers), x), 0.1, 0.02)
    (module.loss(batch) + penalty).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(after[name], before[name] - 0.1 * parameter.grad)


def test_l1_makes_edges_smaller_that_the_loss_can_do_without() -> None:
    sizes = []
    for l1 in (0.0, 0.1):
        module = regression(sparsity_l1=l1)
        fit(module, SyntheticData("f7", samples=200, standardize=False), epochs=60)
        x = torch.rand(200, 2)
        magnitudes = edge_magnitudes(list(module.network.layers), x)
        sizes.append(sum((float(m.detach().sum()) for m in magnitudes), 0.0))
    assert sizes[1] < 0.7 * sizes[0]


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("weight", [-1e-3, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(name: str, weight: float) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be at least 0, got"):
        regression(**{name: weight})


@pytest.mark.parametrize("name", SPARSE)
def test_least_squares_have_no_place_for_it_and_say_so(name: str) -> None:
    module = regression(optimizer=LevenbergMarquardt, **{name: 1e-3})
    with pytest.raises(ConfigurationError, match=r"LevenbergMarquardt .* use torch.optim.Adam"):
        fit(module, SyntheticData("f7", samples=40, standardize=False))


def test_what_a_checkpoint_keeps_of_it_is_plain_numbers() -> None:
    assert {name: regression(**SPARSE).hparams[name] for name in SPARSE} == SPARSE
