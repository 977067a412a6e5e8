"""A PDE module's residual is the equation's, and its loss the weighted sum of its blocks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from kanlit.callbacks import GridAdaptationCallback
from kanlit.data import HelmholtzData, SyntheticData
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule
from kanlit.problems import Helmholtz
from kanlit.splines import bspline_basis


def trainer_for(epochs: int, *callbacks: Any, **settings: Any) -> Trainer:
    return Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **settings,
    )


def make(problem: Any = None, **settings: Any) -> PDEModule:
    torch.manual_seed(0)
    module = PDEModule(2, 1, hidden=settings.pop("hidden", [4]), **settings).double()
    module.problem = Helmholtz(1, 1, 1.0) if problem is None else problem
    return module


def batch_of(data: HelmholtzData) -> dict[str, Tensor]:
    data.setup("fit")
    (batch,) = data.train_dataloader()
    assert isinstance(batch, dict)
    return {name: tensor.double() for name, tensor in batch.items()}


def small() -> HelmholtzData:
    return HelmholtzData(points_per_axis=8, boundary_points=5)


class Linear:
    """``u_xx + u_yy + x1 u_x - u``; every splines' degree of 3 or more can solve it for a cubic."""

    def operator(self, x: Tensor, u: Tensor, gradient: Tensor, second: Tensor) -> Tensor:
        return second.sum(2) + x[:, :1] * gradient[:, :, 0] - u


def exact_cubic(module: PDEModule) -> None:
    """Makes the network x1³ + 2 x2², which one layer of cubic splines holds exactly."""
    (layer,) = module.network.layers
    t = torch.linspace(-1, 1, 50, dtype=torch.float64)
    with torch.no_grad():
        layer.base_weight.zero_()
        layer.bias.zero_()
        layer.edge_scale.fill_(1.0)
        basis = bspline_basis(t.unsqueeze(1).repeat(1, 2), layer.knots, 3)  # (n, in, basis)
        for feature, values in enumerate((t**3, 2 * t**2)):
            layer.spline_weight[0, feature] = torch.linalg.lstsq(
                basis[:, feature], values.unsqueeze(1), driver="gelsd"
            ).solution[:, 0]


def test_residual_of_an_exact_solution_is_zero() -> None:
    module = make(Linear(), hidden=[])
    exact_cubic(module)
    x = 2 * torch.rand(30, 2, dtype=torch.float64) - 1
    a, b = x[:, :1], x[:, 1:]
    u = a**3 + 2 * b**2
    source = 6 * a + 4 + a * 3 * a**2 - u
    batch = {"collocation": x, "source": source, "boundary": x, "boundary_values": u}
    for block in module.residuals(batch).values():
        assert block.values.abs().max() < 1e-10
    assert float(module.loss(batch).detach()) < 1e-20


@pytest.mark.parametrize("degree", [3, 4, 5])
def test_residual_is_that_of_nested_autograd(degree: int) -> None:
    problem = Helmholtz(1, 2, 1.5)
    module = make(problem, spline_order=degree, hidden=[4, 3])
    batch = batch_of(small())
    x = batch["collocation"].clone().requires_grad_()
    u = module.network(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    laplace = sum(
        torch.autograd.grad(slope[:, d].sum(), x, create_graph=True)[0][:, d : d + 1]
        for d in range(2)
    )
    expected = laplace + 1.5**2 * u - batch["source"]
    got = module.residuals(batch)["pde"].values
    assert got.shape == (64, 1)
    assert (got - expected).abs().max() < 1e-10 * (1 + expected.abs().max())
    # And so are its gradients in the parameters.
    ours = torch.autograd.grad(got.square().mean(), list(module.network.parameters()))
    theirs = torch.autograd.grad(expected.square().mean(), list(module.network.parameters()))
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("weight", [1.0, 10.0, 0.01])
def test_loss_is_the_sum_of_the_weighted_mean_squares(weight: float) -> None:
    module, batch = make(boundary_weight=weight), batch_of(small())
    blocks = module.residuals(batch)
    assert list(blocks) == ["pde", "boundary"]
    assert [block.weight for block in blocks.values()] == [1.0, weight]
    boundary = module(batch["boundary"]) - batch["boundary_values"]
    expected = blocks["pde"].values.square().mean() + weight * boundary.square().mean()
    torch.testing.assert_close(module.loss(batch), expected, rtol=1e-12, atol=0)


def test_losses_of_the_samples_are_those_of_the_equation() -> None:
    module, batch = make(), batch_of(small())
    losses = module.sample_losses(batch)
    assert losses.shape == (64,)
    torch.testing.assert_close(losses, module.residuals(batch)["pde"].values.square()[:, 0])
    assert module.adaptation_inputs(batch) is batch["collocation"]


def test_fit_lowers_the_loss_across_an_extension_and_the_error_is_the_solution_s() -> None:
    torch.manual_seed(0)
    module, data = PDEModule(2, 1, hidden=[4]), small()
    data.setup("fit")
    (batch,) = data.train_dataloader()
    module.problem = data.problem
    before = float(module.loss(batch).detach())
    trainer = trainer_for(60, GridAdaptationCallback(schedule={0: 3, 30: 6}), log_every_n_steps=1)
    trainer.fit(module, datamodule=data)
    assert float(module.loss(batch).detach()) < before
    assert {"train/loss", "val/loss"} <= trainer.callback_metrics.keys()
    (got,) = trainer.test(module, datamodule=data, verbose=False)
    ((x, y),) = data.test_dataloader()
    error = float((module(x) - y).detach().norm() / y.norm())
    assert got["test/rel_l2"] == pytest.approx(error, rel=1e-4)


def test_a_checkpoint_loads_and_predicts_without_a_problem(tmp_path: Path) -> None:
    module, data = PDEModule(2, 1, hidden=[3], boundary_weight=10.0), small()
    trainer = trainer_for(2, GridAdaptationCallback(schedule={0: 3, 1: 12}))
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    torch.load(tmp_path / "m.ckpt", weights_only=True)
    loaded = PDEModule.load_from_checkpoint(tmp_path / "m.ckpt")
    assert loaded.boundary_weight == 10.0
    x = torch.rand(9, 2)
    assert torch.equal(loaded(x), module(x))
    assert loaded.problem is None
    (got,) = trainer_for(1).test(loaded, datamodule=small(), verbose=False)
    (expected,) = trainer_for(1).test(module, datamodule=small(), verbose=False)
    assert got == expected


def test_any_problem_of_a_data_module_will_do() -> None:
    module = PDEModule(2, 1)
    module._trainer = SimpleNamespace(datamodule=SimpleNamespace(problem=Linear()))  # type: ignore[assignment]
    module.setup("fit")
    assert isinstance(module.problem, Linear)


# -- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_data_without_a_differential_equation_are_refused(stage: str) -> None:
    module = PDEModule(1, 1, hidden=[3])
    with pytest.raises(ConfigurationError, match=r"HelmholtzData.*--model RegressionModule"):
        getattr(trainer_for(1), stage)(module, datamodule=SyntheticData("f4", samples=20))


def test_residuals_without_a_problem_say_where_it_comes_from() -> None:
    module = PDEModule(2, 1)
    with pytest.raises(RuntimeError, match="a data module brings it in setup"):
        module.residuals({"collocation": torch.zeros(1, 2)})


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_splines_without_a_continuous_second_derivative_are_refused(degree: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"3 to 5 .*, got {degree}"):
        PDEModule(2, 1, spline_order=degree)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_boundary_weight_that_is_not_positive_is_refused(weight: float) -> None:
    with pytest.raises(ConfigurationError, match="boundary_weight must be positive, got"):
        PDEModule(2, 1, boundary_weight=weight)


def test_a_degree_over_five_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="got 6"):
        PDEModule(2, 1, spline_order=6)
