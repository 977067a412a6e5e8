"""Unknown coefficients are trained by every optimizer; their errors are those of statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from kanlit.callbacks import CoefficientErrors, KeepBest, TimeWindows
from kanlit.data import EquationData
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule
from kanlit.modules.misfit import likeness
from kanlit.optim import LevenbergMarquardt, Residual, jacobian
from kanlit.optim.jacobian import RowJacobian, trained_columns
from kanlit.optim.recording import recorded
from kanlit.optim.uncertainty import spread_of_parameter
from kanlit.problems import Condition, Equation, Unknown
from running import trainer_for


class Line(Equation):
    """``u_x = slope``."""

    coordinates = ("x",)
    bounds = ((0.0, 1.0),)
    slope: Any = Unknown(1.0, low=0.0)

    def residual(self, u_x: Tensor, slope: Tensor) -> Tensor:
        return u_x - slope


class Growth(Equation):
    """``u_x = a u``, with ``u = b`` at 0."""

    coordinates = ("x",)
    bounds = ((0.0, 1.0),)
    a = Unknown(3.0, low=0.0)
    b = Unknown(0.5, low=-1.0, high=4.0)

    def residual(self, u_x: Tensor, u: Tensor, a: Tensor) -> Tensor:
        return u_x - a * u

    def conditions(self) -> list[Condition]:
        return [Condition("start", {"x": "low"}, lambda u, b: u - b)]


class Product(Line):
    """``u_x = slope · factor``: only the product is determined."""

    factor = Unknown(1.0)

    def residual(self, u_x: Tensor, slope: Tensor, factor: Tensor) -> Tensor:  # type: ignore[override]
        return u_x - slope * factor


class Drift(Equation):
    coordinates = ("x", "t")
    bounds = ((0.0, 1.0), (0.0, 1.0))
    speed = Unknown(1.0)

    def residual(self, u_t: Tensor, u_x: Tensor, speed: Tensor) -> Tensor:
        return u_t + speed * u_x


NOISE = torch.randn(30, generator=torch.Generator().manual_seed(3), dtype=torch.float64) / 10
X = torch.linspace(0, 1, 30, dtype=torch.float64)


@pytest.fixture
def seen(tmp_path: Path) -> str:
    """30 noisy values of 1 + 2 x."""
    path = tmp_path / "seen.csv"
    rows = [f"{x},{1 + 2 * x + noise}" for x, noise in zip(X.tolist(), NOISE.tolist(), strict=True)]
    path.write_text("\n".join(["x,u", *rows]) + "\n")
    return str(path)


def fitted(
    equation: Equation, epochs: int, *callbacks: Any, model: Any = None, **data: Any
) -> tuple[PDEModule, Trainer]:
    torch.manual_seed(0)
    module = PDEModule(
        len(equation.coordinates),
        len(equation.unknowns),
        **{"hidden": [], "optimizer": LevenbergMarquardt, **(model or {})},
    )
    own = {"precision": "64-true", "check_val_every_n_epoch": epochs}
    trainer = trainer_for(epochs, *callbacks, CoefficientErrors(), **own)
    trainer.fit(module, EquationData(equation, **{"points_per_axis": 12, **data}))
    return module, trainer


def test_its_columns_are_exact_and_need_no_pass_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = PDEModule(1, 1, hidden=[3]).double()
    module.problem = Growth()
    assert module.coefficients is not None
    torch.nn.init.constant_(module.coefficients.theta.weight, 0.3)
    x = torch.rand(6, 1, dtype=torch.float64)
    batch = {"collocation": x, "start": x[:2] * 0}
    held = list(module.parameters())
    monkeypatch.delattr(jacobian, "_one_by_one")
    with recorded({id(p) for p in held}) as calls:
        blocks = module.residuals(batch)
    columns = trained_columns(calls, held)
    rows = torch.cat(list(RowJacobian(blocks, dict.fromkeys(blocks, 1.0), calls, columns).chunks()))
    values = torch.cat([block.values[:, 0] for block in module.residuals(batch).values()])
    assert len(rows) == 8
    for row, value in zip(rows, values, strict=True):
        gradients = torch.autograd.grad(
            value, columns.parameters, retain_graph=True, allow_unused=True
        )
        torch.testing.assert_close(row[:-1], columns.flatten_gradients(gradients))


def test_the_errors_of_a_straight_line_are_those_of_linear_regression() -> None:
    design = torch.stack([torch.ones_like(X), X], 1)
    layer = torch.nn.Linear(2, 1, bias=False).double()
    y = 1 + 2 * X + NOISE
    solution = torch.linalg.lstsq(design, y.unsqueeze(1)).solution
    layer.weight.data.copy_(solution.T)

    def closure() -> dict[str, Residual]:
        return {"seen": Residual(layer(design) - y.unsqueeze(1), 3.0)}

    spread = spread_of_parameter(closure, [layer.weight], layer.weight, "seen")

    square = (design @ solution - y.unsqueeze(1)).square().sum() / (30 - 2)
    expected = (square * torch.linalg.inv(design.T @ design)).diagonal().sqrt()
    assert spread.deviations == pytest.approx(expected.tolist(), rel=1e-9)
    assert spread.noise == pytest.approx(float(square) ** 0.5, rel=1e-9)
    assert spread.freedom == pytest.approx(2.0, rel=1e-9)
    assert (spread.rows, spread.determined) == (30, [True, True])


def test_a_strict_equation_gives_the_line_of_linear_regression(seen: str) -> None:
    module, _ = fitted(
        Line(), 20, observations=seen, model={"observation_weight": 1e-3, "grid_size": 1}
    )
    assert module.coefficients is not None
    found = module.coefficients.estimates()["slope"]
    design = torch.stack([torch.ones_like(X), X], 1)
    y = 1 + 2 * X + NOISE
    solution = torch.linalg.lstsq(design, y.unsqueeze(1)).solution
    square = (design @ solution - y.unsqueeze(1)).square().sum() / (30 - 2)
    error = float((square * torch.linalg.inv(design.T @ design))[1, 1].sqrt())
    assert found.value == pytest.approx(float(solution[1]), rel=1e-3)
    assert found.error == pytest.approx(error, rel=1e-2)
    assert module.coefficients.note == ""


@pytest.mark.parametrize(
    ("optimizer", "epochs"),
    [
        (lambda p: torch.optim.Adam(p, lr=0.05), 300),
        (lambda p: torch.optim.LBFGS(p, line_search_fn="strong_wolfe"), 10),
        (LevenbergMarquardt, 10),
    ],
    ids=["Adam", "LBFGS", "LevenbergMarquardt"],
)
def test_every_optimizer_trains_it(optimizer: Any, epochs: int, seen: str) -> None:
    module, _ = fitted(Line(), epochs, observations=seen, model={"optimizer": optimizer})
    assert module.coefficients is not None
    found = module.coefficients.estimates()["slope"]
    assert found.error is not None
    assert abs(found.value - 2) < 4 * found.error + 0.05


def test_coefficients_that_observations_leave_open_have_no_error(seen: str) -> None:
    module, _ = fitted(Product(), 10, observations=seen)
    assert module.coefficients is not None
    found = module.coefficients.estimates()
    assert found["slope"].value * found["factor"].value == pytest.approx(2, abs=0.2)
    assert [each.error for each in found.values()] == [None, None]
    assert module.coefficients.note.startswith("factor, slope: not determined by the observations")


def test_few_or_no_observations_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("x,u\n0.0,1.0\n0.4,1.9\n1.0,3.0\n")
    module, _ = fitted(Line(), 5, observations=str(path))
    assert module.coefficients is not None
    assert "too few for a reliable standard error" in module.coefficients.note
    module, _ = fitted(Growth(), 2)
    assert module.coefficients is not None
    assert module.coefficients.note == "without data.observations there is no noise level"
    assert all(each.error is None for each in module.coefficients.estimates().values())


def test_a_solution_that_does_not_fit_is_noted(tmp_path: Path, seen: str) -> None:
    strict = {"observation_weight": 1e-3, "grid_size": 1}
    path = tmp_path / "curved.csv"
    rows = [f"{x},{3 * x**2 + noise}" for x, noise in zip(X.tolist(), NOISE.tolist(), strict=True)]
    path.write_text("\n".join(["x,u", *rows]) + "\n")
    module, _ = fitted(Line(), 20, observations=str(path), model=strict)
    assert module.coefficients is not None
    assert "does not fit the observations (misfits of neighbours are" in module.coefficients.note
    assert module.coefficients.note in list(module.coefficients.lines())[-1]
    module, _ = fitted(Line(), 20, observations=seen, model=strict, noise=0.02)
    assert module.coefficients is not None
    assert "does not fit the observations (the misfit is 4." in module.coefficients.note


def test_neighbours_of_independent_noise_are_alike_by_accident_only() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(150, 2, generator=generator, dtype=torch.float64)
    points[50:60] = points[40:50]  # measured twice
    unknowns = (torch.arange(150) > 99).long()
    found = []
    for _ in range(300):
        noise = torch.randn(150, generator=generator, dtype=torch.float64)
        alike, deviation = likeness(points, unknowns, noise)
        found.append(alike / deviation)
    scaled = torch.tensor(found)
    assert abs(float(scaled.mean())) < 4 / 300**0.5
    assert float(scaled.std()) == pytest.approx(1, abs=0.15)
    wave = torch.sin(6 * points[:, 0])
    assert likeness(points, unknowns, wave)[0] > 0.8
    swapped = torch.where(unknowns == 0, wave, -wave)  # each is compared with its own only
    assert likeness(points, unknowns, swapped)[0] == likeness(points, unknowns, wave)[0]
    assert likeness(points[:1], unknowns[:1], wave[:1]) == (0.0, 1.0)


def test_the_best_weights_bring_back_their_coefficients_and_stages_keep_them(seen: str) -> None:
    keep = KeepBest()
    module, _ = fitted(Line(), 5, keep, observations=seen)
    assert module.coefficients is not None
    assert torch.equal(
        keep._kept["coefficients.theta.weight"], module.coefficients.theta.weight.data
    )
    first = module.coefficients
    module.problem = Line()  # as at a stage of a continuation
    assert module.coefficients is first


def test_windows_of_time_and_unknown_coefficients_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"Drift has unknown coefficients or fields \(speed\)"
    ):
        fitted(Drift(), 4, TimeWindows(2))


class Conducting(Equation):
    """``(a u_x)_x = 2`` with an unknown field a(x), in truth 1 + x, and u = 2 x - 2 log(1 + x)."""

    coordinates = ("x",)
    unknowns = ("u", "a")
    bounds = ((0.0, 1.0),)

    def residual(self, u_x: Tensor, u_xx: Tensor, a: Tensor, a_x: Tensor) -> Tensor:
        return a_x * u_x + a * u_xx - 2

    def conditions(self) -> list[Condition]:
        return [Condition("flux", {"x": "low"}, lambda u_x, a, a_x: a * u_x)]


def test_an_unknown_field_is_a_further_unknown_of_the_equation(tmp_path: Path) -> None:
    path = tmp_path / "seen.csv"
    values = [f"{x},{2 * x - 2 * float(torch.log1p(torch.tensor(x)))}" for x in X.tolist()]
    path.write_text("\n".join(["x,u", *values]) + "\n")
    model = {"hidden": [3], "spline_order": 4, "observation_weight": 100.0}
    module, _ = fitted(Conducting(), 40, model=model, points_per_axis=30, observations=str(path))
    x = torch.linspace(0.2, 1, 9, dtype=torch.float64).unsqueeze(1)
    field = module(x)[:, 1:].detach()
    assert float((field - (1 + x)).norm() / (1 + x).norm()) < 0.02
