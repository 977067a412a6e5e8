"""Steps solve the damped equations, in either space and whatever the rank."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kanlit.nn import KAN
from kanlit.optim import Residual
from kanlit.optim.jacobian import RowJacobian, trained_columns
from kanlit.optim.penalty import Penalty
from kanlit.optim.recording import recorded
from kanlit.optim.systems import DampedSystem, NormalSystem, ResidualSystem, gram

DOUBLE = torch.float64
SCALES = {"data": 0.3, "edge": 2.0}

Kind = type[NormalSystem] | type[ResidualSystem]


class Problem:
    """A network with some residuals; fewer of them than parameters, or more."""

    def __init__(self, rows: int, ridge: float = 0.0, smoothness: float = 0.0) -> None:
        torch.manual_seed(rows)
        self.net = KAN([2, 3, 2], dtype=DOUBLE)
        x, edge = (2 * torch.rand(n, 2, dtype=DOUBLE) - 1 for n in (rows, 3))
        held = list(self.net.parameters())
        with recorded({id(p) for p in held}) as calls:
            blocks = {"data": Residual(self.net(x) - x), "edge": Residual(self.net(edge))}
        self.columns = trained_columns(calls, held)
        self.jacobian = RowJacobian(blocks, SCALES, calls, self.columns)
        self.penalty = Penalty(ridge, smoothness, self.columns, list(self.net.layers))  # type: ignore[arg-type]
        self.theta = self.columns.gather()
        self.values = {name: torch.randn_like(b.values) for name, b in blocks.items()}
        rows_ = torch.cat([chunk.clone() for chunk in self.jacobian.chunks()])
        self.J, self.r = rows_[:, :-1], rows_[:, -1]
        self.L = torch.zeros(self.columns.count, self.columns.count, dtype=DOUBLE)
        self.penalty.add_to(self.L)
        self.H = self.J.T @ self.J + self.L
        self.D = self.H.diagonal().clamp(min=1e-12 * float(self.H.diagonal().max())).diag()

    def system(self, kind: Kind) -> DampedSystem:
        if kind is ResidualSystem:
            return ResidualSystem(self.jacobian, self.theta, self.penalty)
        return NormalSystem(
            gram(self.jacobian, self.columns.count),
            self.theta,
            self.penalty,
            lambda values: self.J.T @ self.jacobian.ordered(values),
        )

    def solved(self, damping: float, right: Tensor) -> Tensor:
        """The damped equations, scaled so that LU is accurate."""
        shrink = self.D.diagonal().rsqrt()
        matrix = shrink[:, None] * (self.H + damping * self.D) * shrink
        return shrink * torch.linalg.solve(matrix, shrink * right)


FEW, MANY = 20, 200
CASES = [
    (NormalSystem, MANY, 0.0, 0.0),
    (NormalSystem, MANY, 1e-3, 1e-4),
    (NormalSystem, FEW, 0.0, 0.0),
    (ResidualSystem, FEW, 0.0, 0.0),
    (ResidualSystem, FEW, 1e-3, 0.0),
    (ResidualSystem, MANY, 1e-3, 0.0),
]


@pytest.mark.parametrize("damping", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize(("kind", "rows", "ridge", "smoothness"), CASES)
def test_step_and_correction_solve_the_damped_equations(
    kind: Kind, rows: int, ridge: float, smoothness: float, damping: float
) -> None:
    problem = Problem(rows, ridge, smoothness)
    system = problem.system(kind)
    step = system.step(damping)
    gradient = problem.J.T @ problem.r + problem.L @ problem.theta
    torch.testing.assert_close(step, problem.solved(damping, -gradient), rtol=1e-6, atol=1e-8)

    w = problem.jacobian.ordered(problem.values)
    right = problem.J.T @ w + problem.L @ (problem.theta + step) + damping * problem.D @ step
    correction = system.correction(damping, step, problem.values)
    torch.testing.assert_close(correction, problem.solved(damping, -right), rtol=1e-6, atol=1e-8)

    def model(h: Tensor) -> Tensor:
        inside = (problem.r + problem.J @ h).square().sum()
        return inside + (problem.theta + h) @ problem.L @ (problem.theta + h)

    fall = float(model(torch.zeros_like(step)) - model(step))
    assert system.predicted(step) == pytest.approx(fall, rel=1e-8)
    assert fall > 0


@pytest.mark.parametrize("damping", [1e-9, 1e-2, 10.0])
def test_both_spaces_give_the_same_step(damping: float) -> None:
    problem = Problem(FEW)
    assert problem.jacobian.rows < problem.columns.count
    one, other = problem.system(NormalSystem), problem.system(ResidualSystem)
    step, root = one.step(damping), problem.D.diagonal().sqrt()
    pairs = [
        (other.step(damping), step),
        (
            other.correction(damping, step, problem.values),
            one.correction(damping, step, problem.values),
        ),
    ]
    for a, b in pairs:
        assert (root * (a - b)).norm() < 1e-5 * (root * b).norm()


@pytest.mark.parametrize("kind", [NormalSystem, ResidualSystem])
def test_without_damping_a_singular_matrix_still_gives_a_descent(kind: Kind) -> None:
    problem = Problem(FEW)
    system = problem.system(kind)
    step = system.step(1e-15)
    assert torch.isfinite(step).all()
    after = (problem.r + problem.J @ step).square().sum()
    assert after < 1e-6 * problem.r.square().sum()


def test_where_cholesky_fails_the_spectrum_takes_over() -> None:
    problem = Problem(MANY)
    system = problem.system(NormalSystem)
    assert isinstance(system, NormalSystem)
    # A negative eigenvalue, such as rounding can make: no Cholesky factor, a finite step.
    values, vectors = torch.linalg.eigh(system._matrix)
    values[0] = -1e-3 * values[-1]
    system._matrix = (vectors * values) @ vectors.T
    assert int(torch.linalg.cholesky_ex(system._damped(1e-4))[1]) > 0
    step = system.step(1e-4)
    assert torch.isfinite(step).all()
    assert step @ (problem.J.T @ problem.r) < 0  # downhill still


def test_values_that_are_not_finite_give_a_step_that_is_not_and_no_error() -> None:
    problem = Problem(MANY)
    system = problem.system(NormalSystem)
    assert isinstance(system, NormalSystem)
    system._matrix[0, 0] = torch.nan
    assert not torch.isfinite(system.step(1.0)).all()
