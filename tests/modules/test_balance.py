"""Weights of the blocks that a run sets by their traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from kanlit.callbacks import Checkpoint
from kanlit.data import EquationData, HelmholtzData
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule
from kanlit.modules.balance import balancing_factors, mean_traces
from kanlit.modules.run_weights import RunWeights, sums_in_time
from kanlit.nn import KAN
from kanlit.optim import LevenbergMarquardt, Residual
from kanlit.problems import Burgers
from running import trainer_for

pytestmark = pytest.mark.filterwarnings("default:::kanlit")


def traces_of(network: KAN, values: Tensor) -> float:
    """The trace of JᵀJ per row, by one backward pass per row."""
    total = 0.0
    for value in values:
        rows = torch.autograd.grad(value, list(network.parameters()), retain_graph=True)
        total += sum(float(row.square().sum()) for row in rows)
    return total / len(values)


def test_traces_are_estimated_by_random_signs() -> None:
    network = KAN([2, 4, 1]).double()
    single, many = network(torch.rand(1, 2).double()), network(torch.rand(200, 2).double())
    blocks = {"single": Residual(single), "many": Residual(3 * many, weight=7.0)}

    found = mean_traces(blocks, list(network.parameters()), torch.Generator().manual_seed(0))

    assert float(found[0]) == pytest.approx(traces_of(network, single), rel=1e-12)
    assert float(found[1]) == pytest.approx(9 * traces_of(network, many), rel=0.7)


def test_factors_give_every_block_the_trace_of_the_equations() -> None:
    traces = {"mass": 2.0, "momentum": 6.0, "walls": 0.5, "exact": 0.0}
    factors = balancing_factors(traces, ["mass", "momentum"])
    assert factors.pop("exact") == 1.0  # a condition that an ansatz satisfies
    assert [factors[name] * traces[name] for name in factors] == [4.0] * 3


def fit(
    folder: Path,
    *callbacks: Callback,
    start: Path | None = None,
    optimizer: Any = LevenbergMarquardt,
    epochs: int = 12,
    data: EquationData | None = None,
    **settings: Any,
) -> PDEModule:
    torch.manual_seed(1)
    module = PDEModule(2, 1, hidden=[3], optimizer=optimizer, **settings)
    data = data or EquationData(Burgers(0.1), points_per_axis=6, condition_points=6)
    keep = Checkpoint(dirpath=str(folder), every_n_epochs=6)
    trainer = trainer_for(epochs, *callbacks, keep, precision="64-true")
    trainer.fit(module, data, ckpt_path=start)
    return module


@pytest.mark.parametrize(
    "optimizer", [LevenbergMarquardt, lambda p: torch.optim.Adam(p, lr=1e-3)], ids=["lm", "adam"]
)
def test_balanced_weights_change_training_and_leave_the_validation_loss(
    optimizer: Any, tmp_path: Path
) -> None:
    module = fit(tmp_path, optimizer=optimizer, weights="balanced")
    data: Any = module.trainer.datamodule  # type: ignore[attr-defined]
    batch = next(iter(data.val_dataloader()))

    weights = {name: block.weight for name, block in module.train().residuals(batch).items()}
    plain = {name: block.weight for name, block in module.eval().residuals(batch).items()}

    assert set(plain.values()) == {1.0}
    assert weights["pde"] == 1.0
    assert weights["initial"] > 1
    logged = float(module.trainer.callback_metrics["weight/initial"])
    assert logged == pytest.approx(weights["initial"], rel=1e-6)


@pytest.mark.parametrize("settings", [{"weights": "balanced"}, {"causality": 5.0}])
def test_a_resumed_run_ends_to_the_last_bit_as_one_never_stopped(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    class Copy(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
            if trainer.current_epoch == 12:
                last = tmp_path / "unbroken" / "last.ckpt"
                last.with_name("half.ckpt").write_bytes(last.read_bytes())

    unbroken = fit(tmp_path / "unbroken", Copy(), epochs=22, **settings)
    start = tmp_path / "unbroken" / "half.ckpt"
    resumed = fit(tmp_path / "resumed", start=start, epochs=22, **settings)

    assert resumed._run_weights.state_dict() == unbroken._run_weights.state_dict()
    same = dict(resumed.state_dict()), dict(unbroken.state_dict())
    torch.testing.assert_close(*same, rtol=0, atol=0)


def test_weights_in_time_fall_by_the_losses_before() -> None:
    weights = RunWeights()
    time = torch.tensor([0.0, 0.01, 0.5, 1.0], dtype=torch.float64)
    sums = sums_in_time(time, torch.tensor([1.0, 3.0, 4.0, 7.0], dtype=torch.float64))
    weights.update_in_time(sums, strength=0.5)

    residual = Residual(torch.ones(4, 1, dtype=torch.float64))
    found = weights.applied({"pde": residual, "walls": residual}, ["pde"], time)

    expected = torch.exp(-0.5 * torch.tensor([0.0, 0.0, 2.0, 6.0], dtype=torch.float64))
    torch.testing.assert_close(found["pde"].values[:, 0].square(), expected)
    assert found["walls"].values is residual.values


def test_causal_training_weighs_late_residuals_less_and_leaves_the_validation_loss(
    tmp_path: Path,
) -> None:
    module = fit(tmp_path, causality=5.0)
    data: Any = module.trainer.datamodule  # type: ignore[attr-defined]
    batch = next(iter(data.val_dataloader()))

    late = batch["collocation"][:, 1] > 0.5
    weighted = module.train().residuals(batch)["pde"].values[late].abs()
    plain = module.eval().residuals(batch)["pde"].values[late].abs()

    assert bool((weighted < plain).all())
    assert 0 < float(module.trainer.callback_metrics["weight/latest"]) < 1


@pytest.mark.filterwarnings("ignore")
def test_causality_without_time_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="causality needs a coordinate t, but Helmholtz"):
        fit(tmp_path, data=HelmholtzData(points_per_axis=6, boundary_points=6), causality=1.0)


def test_a_causality_below_0_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="causality must be at least 0, got -1"):
        PDEModule(2, 1, causality=-1)


def test_other_weights_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="weights must be fixed or balanced, got 'x'"):
        PDEModule(2, 1, weights="x")  # type: ignore[arg-type]
