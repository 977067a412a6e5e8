"""A PDE module's residual is the equation's, and its loss the weighted sum of its blocks."""

from __future__ import annotations

from math import pi
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from equations import batch_of
from kanlit.adaptation import LossDensity
from kanlit.callbacks import GridAdaptationCallback
from kanlit.data import EquationData, HelmholtzData, SyntheticData
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule
from kanlit.optim import LevenbergMarquardt
from kanlit.problems import Condition, Equation, Helmholtz, dirichlet, periodic
from kanlit.splines import bspline_basis
from running import trainer_for


def make(problem: Any = None, **settings: Any) -> PDEModule:
    torch.manual_seed(0)
    module = PDEModule(2, 1, hidden=settings.pop("hidden", [4]), **settings).double()
    module.problem = Helmholtz(conditions="soft") if problem is None else problem
    return module


def small() -> HelmholtzData:
    return HelmholtzData(points_per_axis=8, boundary_points=5)


class Linear(Equation):
    """``u_xx + u_yy + x u_x - u = q``; splines of degree 3 hold its solution."""

    coordinates = ("x", "y")
    bounds = ((-1.0, 1.0), (-1.0, 1.0))

    def residual(
        self, u_xx: Tensor, u_yy: Tensor, x: Tensor, u_x: Tensor, u: Tensor, source: Tensor
    ) -> Tensor:
        return u_xx + u_yy + x * u_x - u - source

    def source(self, points: Tensor) -> Tensor:
        x = points[:, :1]
        return 6 * x + 4 + x * 3 * x**2 - self.solution(points)

    def solution(self, points: Tensor) -> Tensor:
        return points[:, :1] ** 3 + 2 * points[:, 1:] ** 2

    def conditions(self) -> list[Condition]:
        return [dirichlet("boundary", {"x": "both", "y": "both"}, self.solution)]


class Transport(Equation):
    """``u_t + u_x = 0``, of the first order; without a solution that is told."""

    coordinates = ("x", "t")
    bounds = ((-1.0, 1.0), (0.0, 1.0))

    def residual(self, u_t: Tensor, u_x: Tensor) -> Tensor:
        return u_t + u_x

    def conditions(self) -> list[Condition]:
        start = dirichlet("initial", {"t": "low"}, lambda p: torch.sin(pi * p[:, :1]), weight=2.0)
        return [start, periodic("around", "x")]


class Shifted(Transport):
    """Not finite where a point of the grid lies."""

    def residual(self, u_t: Tensor, x: Tensor) -> Tensor:  # type: ignore[override]
        return u_t / (x - 1)


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
            layer.coefficients[0, feature] = torch.linalg.lstsq(
                basis[:, feature], values.unsqueeze(1), driver="gelsd"
            ).solution[:, 0]


def test_residual_of_an_exact_solution_is_zero() -> None:
    module = make(Linear(), hidden=[])
    exact_cubic(module)
    x = 2 * torch.rand(30, 2, dtype=torch.float64) - 1
    equation = Linear()
    values = equation.solution(x)
    source = equation.source(x)
    batch = {"collocation": x, "source": source, "boundary": x, "boundary_values": values}
    for block in module.residuals(batch).values():
        assert block.values.abs().max() < 1e-10
    assert float(module.loss(batch).detach()) < 1e-20


@pytest.mark.parametrize("degree", [3, 4, 5])
def test_residual_is_that_of_nested_autograd(degree: int) -> None:
    problem = Helmholtz(1, 2, 1.5, "soft")
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
    trainer = trainer_for(60, GridAdaptationCallback(schedule={0: 3, 30: 6}))
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


def test_any_equation_of_a_data_module_will_do() -> None:
    module = PDEModule(2, 1)
    trainer = SimpleNamespace(
        datamodule=SimpleNamespace(problem=Linear()),
        callbacks=[],
        enable_validation=True,
        global_step=0,
    )
    module._trainer = trainer  # type: ignore[assignment]
    module.setup("fit")
    assert isinstance(module.problem, Linear)


def test_a_first_order_equation_is_solved_by_splines_of_degree_two() -> None:
    torch.manual_seed(0)
    module = PDEModule(2, 1, hidden=[4], spline_order=2, boundary_weight=3.0)
    data = EquationData(Transport(), points_per_axis=6, condition_points=5)
    trainer = trainer_for(3)
    trainer.fit(module, datamodule=data)
    (batch,) = data.train_dataloader()
    blocks = module.residuals(batch)  # type: ignore[arg-type]
    assert {name: block.weight for name, block in blocks.items()} == {
        "pde": 1.0,
        "initial": 6.0,
        "around.u": 3.0,
    }


def test_without_a_solution_the_test_reports_the_residuals() -> None:
    module = PDEModule(2, 1, hidden=[4])
    data = EquationData(Transport(), points_per_axis=6, condition_points=5)
    (got,) = trainer_for(1).test(module, datamodule=data, verbose=False)
    (batch,) = data.test_dataloader()
    blocks = module.residuals(batch)  # type: ignore[arg-type]
    expected = {f"test/{n}": float(b.values.detach().square().mean()) for n, b in blocks.items()}
    expected["test/loss"] = float(module.loss(batch).detach())
    assert got == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, LevenbergMarquardt])
def test_every_optimizer_and_the_density_of_losses_take_any_equation(optimizer: Any) -> None:
    torch.manual_seed(0)
    module = PDEModule(2, 1, hidden=[4], optimizer=optimizer)
    data = EquationData(Linear(), points_per_axis=8, condition_points=5)
    adaptation = GridAdaptationCallback(schedule={0: 3, 4: 5}, density=LossDensity())
    trainer = trainer_for(8, adaptation, precision="64-true")
    data.trainer = trainer  # for the type of the batch below
    data.setup("fit")
    (batch,) = data.train_dataloader()
    module.double().problem = data.problem
    before = float(module.loss(batch).detach())
    trainer.fit(module, datamodule=data)
    assert float(module.loss(batch).detach()) < before


# -- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_data_without_a_differential_equation_are_refused(stage: str) -> None:
    module = PDEModule(1, 1, hidden=[3])
    with pytest.raises(ConfigurationError, match=r"HelmholtzData.*set model to RegressionModule"):
        getattr(trainer_for(1), stage)(
            module, datamodule=SyntheticData("f4", samples=20, standardize=False)
        )


def test_residuals_without_a_problem_say_where_it_comes_from() -> None:
    module = PDEModule(2, 1)
    with pytest.raises(RuntimeError, match="the data module sets it in setup"):
        module.residuals({"collocation": torch.zeros(1, 2)})


@pytest.mark.parametrize("degree", [0, 1])
def test_splines_without_a_continuous_derivative_are_refused(degree: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"2 to 5 .*, got {degree}"):
        PDEModule(2, 1, spline_order=degree)


class Beam(Shifted):
    def residual(self, u_x: Tensor, u_xxxx: Tensor) -> Tensor:  # type: ignore[override]
        return u_x - u_xxxx


class Solitons(Transport):
    """KdV, of the third order."""

    def residual(self, u: Tensor, u_t: Tensor, u_x: Tensor, u_xxx: Tensor) -> Tensor:  # type: ignore[override]
        return u_t + u * u_x + 0.022**2 * u_xxx


@pytest.mark.parametrize(
    "optimizer", [lambda p: torch.optim.Adam(p, lr=1e-2), LevenbergMarquardt], ids=["adam", "lm"]
)
def test_a_third_order_equation_is_learnt(optimizer: Any) -> None:
    module = make(Solitons(), spline_order=4, optimizer=optimizer)
    data = EquationData(Solitons(), points_per_axis=8, condition_points=8)
    data.setup("fit")
    (batch,) = data.train_dataloader()
    exact = {name: values.double() for name, values in batch.items()}  # type: ignore[union-attr]
    before = float(module.loss(exact).detach())
    trainer_for(8, precision="64-true").fit(module, datamodule=data)
    assert float(module.loss(exact).detach()) < 0.9 * before


@pytest.mark.parametrize(
    ("data", "degree", "words"),
    [
        (lambda: small(), 2, "3 to 5 for a second-order equation, got 2"),
        (lambda: EquationData(Solitons()), 3, "4 to 5 for a third-order equation, got 3"),
        (lambda: EquationData(Beam()), 4, "must be 5 for a fourth-order equation, got 4"),
    ],
)
def test_too_low_a_degree_is_refused_for_the_order_of_the_equation(
    data: Any, degree: int, words: str
) -> None:
    module = PDEModule(2, 1, hidden=[3], spline_order=degree)
    with pytest.raises(ConfigurationError, match=words):
        trainer_for(1).fit(module, datamodule=data())


def test_a_residual_that_is_not_finite_is_refused_where_training_starts() -> None:
    data = EquationData(Shifted(), points_per_axis=4)
    with pytest.raises(ConfigurationError, match=r"4 of 16 points, first at x = 1, t = 0:"):
        trainer_for(1, num_sanity_val_steps=0).fit(PDEModule(2, 1, hidden=[3]), datamodule=data)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_boundary_weight_that_is_not_positive_is_refused(weight: float) -> None:
    with pytest.raises(ConfigurationError, match="boundary_weight must be positive, got"):
        PDEModule(2, 1, boundary_weight=weight)


def test_a_degree_over_five_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="got 6"):
        PDEModule(2, 1, spline_order=6)
