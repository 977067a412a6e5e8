"""Observations are a further block of the loss, beside the equation and its conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from equations import Pair, batch_of
from kanlit.data import EquationData
from kanlit.modules import PDEModule
from kanlit.optim import LevenbergMarquardt
from kanlit.optim.jacobian import RowJacobian, trained_columns
from kanlit.optim.recording import recorded
from running import trainer_for


@pytest.fixture
def seen(tmp_path: Path) -> str:
    path = tmp_path / "seen.csv"
    path.write_text("x,u,v\n0.1,1.2,\n0.9,2.8,\n0.4,,2.0\n")
    return str(path)


def module_of(**settings: Any) -> PDEModule:
    torch.manual_seed(0)
    return PDEModule(1, 2, hidden=[3], **settings)


def trained(module: PDEModule, data: EquationData, epochs: int) -> dict[str, float]:
    trainer = trainer_for(epochs, precision="64-true", check_val_every_n_epoch=epochs)
    trainer.fit(module, data)
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    (tested,) = trainer.test(module, data, verbose=False)
    return found | dict(tested)


def test_the_block_has_its_own_weight_in_the_loss(seen: str) -> None:
    module = module_of(observation_weight=7.0).double()
    module.problem = Pair()
    batch = batch_of(EquationData(Pair(), 5, observations=seen))
    blocks = module.residuals(batch)
    with torch.no_grad():
        u, v = module(batch["observations"]).unbind(1)
        missed = torch.stack([u[0] - 1.2, u[1] - 2.8, v[2] - 2.0])
        others = sum(blocks[name].values.square().mean() for name in ("slope", "straight"))
        expected = others + 7 * missed.square().mean()
        assert float(module.loss(batch)) == pytest.approx(float(expected), rel=1e-6)


def test_the_jacobian_of_the_block_is_that_of_autograd(seen: str) -> None:
    module = module_of().double()
    module.problem = Pair()
    batch = batch_of(EquationData(Pair(), 5, observations=seen, noise=0.5))
    held = list(module.parameters())
    with recorded({id(p) for p in held}) as calls:
        block = module.residuals(batch)["observations"]
    columns = trained_columns(calls, held)
    (rows,) = RowJacobian({"o": block}, {"o": 1.0}, calls, columns).chunks()
    values = module.residuals(batch)["observations"].values[:, 0]
    for row, value in zip(rows, values, strict=True):
        gradients = torch.autograd.grad(
            value, columns.parameters, retain_graph=True, allow_unused=True
        )
        torch.testing.assert_close(row[:-1], columns.flatten_gradients(gradients))


@pytest.mark.parametrize("batch_size", [None, 20])
def test_observations_take_the_place_of_conditions(seen: str, batch_size: int | None) -> None:
    data = EquationData(Pair(), 40, observations=seen, batch_size=batch_size)
    found = trained(module_of(optimizer=LevenbergMarquardt), data, 12)
    assert found["test/rel_l2/u"] < 1e-2
    assert found["test/rel_l2/v"] < 1e-2


def test_adam_lowers_the_block_and_balancing_weights_it(seen: str) -> None:
    data = EquationData(Pair(), 5, observations=seen)
    module = module_of(weights="balanced", optimizer=lambda p: torch.optim.Adam(p, lr=0.05))
    found = trained(module, data, 40)
    assert found["weight/observations"] != 1.0
    assert found["test/rel_l2/u"] < 0.1


def test_the_error_at_a_reference_is_by_unknown(seen: str, tmp_path: Path) -> None:
    path = tmp_path / "reference.csv"
    path.write_text("v,x\n4.0,0.0\n4.0,1.0\n")  # twice the solution
    data = EquationData(Pair(), 9, observations=seen, reference=str(path))
    found = trained(module_of(optimizer=LevenbergMarquardt), data, 12)
    assert found["test/rel_l2"] == pytest.approx(0.5, abs=1e-2)
    assert found["test/rel_l2/v"] == pytest.approx(0.5, abs=1e-2)
    assert "test/rel_l2/u" not in found
