"""Domains of the user's own points: which are chosen, what is inside, and bad tables refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from clouds import INNER, ball, filled, ring, table
from kanlit import Equation, EquationData, LevenbergMarquardt, PDEModule, PointCloud
from kanlit.callbacks.equation_figures import solution_picture
from kanlit.data import ResidualDraw
from kanlit.data.points import RandomPoints
from kanlit.errors import ConfigurationError
from kanlit.problems import BoundaryValueProblem, Condition, dirichlet, neumann
from kanlit.problems.window import with_bounds

TIME = ((0.0, 2.0),)


class Laplace(Equation):
    """``u_xx + u_yy = 0`` in a ring: log r."""

    coordinates = ("x", "y")
    domain: Any = ring(400, 80)

    def residual(self, u_xx: Tensor, u_yy: Tensor) -> Tensor:
        return u_xx + u_yy

    def conditions(self) -> list[Condition]:
        return [dirichlet("outside", "rim"), neumann("flux", "hole", -1 / INNER)]

    def solution(self, points: Tensor) -> Tensor:
        return points.norm(dim=1, keepdim=True).log()


class Ball(Equation):
    """``Δu = 6`` in a ball, with the flux through its surface and a ball's worth of parameters."""

    coordinates = ("x", "y", "z")
    domain: Any = ball(300, 100)

    def residual(self, u_xx: Tensor, u_yy: Tensor, u_zz: Tensor) -> Tensor:
        return u_xx + u_yy + u_zz - 6

    def conditions(self) -> list[Condition]:
        return [Condition("surface", "surface", lambda u_n, u: u_n + u - 3)]

    def solution(self, points: Tensor) -> Tensor:
        return points.square().sum(1, keepdim=True)


def own(domain: Any, *conditions: Condition, coordinates: Any = ("x", "y")) -> Equation:
    members = {"domain": domain, "conditions": lambda self: conditions, "coordinates": coordinates}
    return type("Own", (Laplace,), members)()


def trained(equation: Equation, epochs: int, **settings: Any) -> tuple[PDEModule, EquationData]:
    torch.manual_seed(0)
    d = len(equation.coordinates)
    module = PDEModule(
        d, 1, hidden=[4], spline_order=4, boundary_weight=10.0, optimizer=LevenbergMarquardt
    )
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        precision="64-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        check_val_every_n_epoch=epochs,
    )
    data = EquationData(equation, **settings)
    trainer.fit(module, data)
    return module, data


def test_a_problem_with_a_flux_is_solved_on_given_points() -> None:
    settings = {"sampling": "residual", "points": 250, "redraw": ResidualDraw(pool=400, every=5)}
    module, data = trained(Laplace(), 20, condition_points=60, **settings)
    x, known = data.build("test")  # type: ignore[misc]
    assert len(x) == 400
    with torch.no_grad():
        assert float((module(x) - known).norm() / known.norm()) < 1e-2
    used = data.drawn_points
    assert used is not None
    given = {tuple(row) for row in x.tolist()}
    assert len({tuple(row) for row in used.tolist()} & given) == 250


def test_a_ball_is_solved_and_drawn_by_slices(tmp_path: Path) -> None:
    module, data = trained(Ball(), 10)
    x, known = data.build("test")  # type: ignore[misc]
    with torch.no_grad():
        assert float((module(x) - known).norm() / known.norm()) < 1e-2
    figure = solution_picture(module, data, module.network.layers[0])
    figure.savefig(tmp_path / "ball.png")


def points_of(cloud: PointCloud, count: int, seed: int = 0, sobol: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return RandomPoints(generator, count, count, sobol).inside(cloud)


@pytest.mark.parametrize("sobol", [False, True])
def test_points_are_chosen_without_replacement_and_all_with_the_same_probability(
    sobol: bool,
) -> None:
    cloud = ring(40, 20)
    given = points_of(cloud, 1000)
    assert len(given) == 40
    counts = torch.zeros(40)
    for seed in range(400):
        drawn = points_of(cloud, 25, seed, sobol)
        which = torch.cdist(drawn, given).argmin(1)
        assert len(which.unique()) == 25
        counts[which] += 1
    expected, spread = 400 * 25 / 40, (400 * 25 / 40 * 15 / 40) ** 0.5
    assert float((counts - expected).abs().max()) < 4 * spread


def test_over_time_every_point_is_used_as_often_as_any_other_up_to_once() -> None:
    cloud = ring(40, 20, TIME)
    drawn = points_of(cloud, 100)
    assert len(drawn) == 100
    _, counts = drawn[:, :2].unique(dim=0, return_counts=True)
    assert sorted(counts.unique().tolist()) == [2, 3]
    assert len(drawn[:, 2].unique()) == 100
    start, normals = RandomPoints(torch.Generator().manual_seed(0), 9, 100).on(cloud, (2, 0))
    assert len(start) == len(start.unique(dim=0)) == 40  # once each, as there is no time left
    assert normals.unique(dim=0).tolist() == [[0.0, 0.0, -1.0]]
    wall, _ = RandomPoints(torch.Generator().manual_seed(0), 9, 100).on(cloud, "rim")
    assert len(wall) == 100


def test_a_grid_is_all_points_along_a_grid_of_the_time() -> None:
    cloud = ring(40, 20, TIME)
    assert len(cloud.grid([7, 7, 5])) == 200
    x = cloud.grid([7, 7, 5], midway=True)
    assert x[:, 2].unique().tolist() == [0.25, 0.75, 1.25, 1.75]
    assert len(cloud.grid_on((2, 1), 9)[0]) == 40


def test_a_horizon_cuts_the_time_of_given_points() -> None:
    heat = own(ring(40, 20, TIME), dirichlet("a", "rim"), coordinates=("x", "y", "t"))
    shorter = BoundaryValueProblem(with_bounds(heat, 2, 0.0, 0.5)).domain
    assert shorter.bounds[2] == (0.0, 0.5)
    assert float(points_of(shorter, 50)[:, 2].max()) <= 0.5  # type: ignore[arg-type]


@pytest.mark.parametrize("normals", [True, False])
def test_what_is_near_a_given_point_and_not_outward_is_inside(normals: bool) -> None:
    cloud = ring(1500, 150, normals=normals)
    apart = (torch.pi / 1500) ** 0.5
    blur = 0.2 * apart if normals else 4 * apart
    x = 2.4 * torch.rand(20000, 2, generator=torch.Generator().manual_seed(0)).double() - 1.2
    radius = x.norm(dim=1)
    inside = cloud.contains(x)
    assert bool(inside[(radius < 1) & (radius > INNER)].all())
    assert not bool(inside[(radius > 1 + blur) | (radius < INNER - blur)].any())


def test_a_corner_is_inside_for_each_of_its_parts(tmp_path: Path) -> None:
    """At the inner corner of an L, both normals admit what lies between them."""
    line = torch.linspace(0, 1, 11).double().unsqueeze(1)
    none = torch.zeros_like(line)
    across = torch.cat([line, none], 1)  # the domain is above
    up = torch.cat([none, -line], 1)  # the domain is to the left
    cells = 2 * (torch.cartesian_prod(torch.arange(20), torch.arange(20)).double() + 0.5) / 20 - 1
    inside = cells[~((cells[:, 0] > 0) & (cells[:, 1] < 0))]
    parts = {
        "across": table(tmp_path / "a.csv", across, across.new_tensor([[0.0, -1.0]]).repeat(11, 1)),
        "up": table(tmp_path / "b.csv", up, up.new_tensor([[1.0, 0.0]]).repeat(11, 1)),
    }
    cloud = PointCloud(table(tmp_path / "inside.csv", inside), parts)
    near = torch.tensor([[0.01, 0.02], [-0.02, -0.01], [-0.01, 0.01], [0.02, -0.02]]).double()
    assert cloud.contains(near).tolist() == [True, True, True, False]


SQUARE = filled(2, 50)
CIRCLE = SQUARE[:9] / SQUARE[:9].norm(dim=1, keepdim=True)


def cloud_of(folder: Path, inside: Any, wall: Any) -> PointCloud:
    """From frames or tensors."""
    for name, given in (("inside", inside), ("wall", wall)):
        frame = pd.DataFrame(given.numpy(), columns=["x", "y"]) if _is_tensor(given) else given
        frame.to_csv(folder / f"{name}.csv", index=False)
    return PointCloud(str(folder / "inside.csv"), {"wall": str(folder / "wall.csv")})


def _is_tensor(given: Any) -> bool:
    return isinstance(given, Tensor)


def framed(points: Tensor, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(points.numpy(), columns=["x", "y"]).assign(**columns)


ZERO = {"normal_x": 0.0, "normal_y": [1.0] * 8 + [0.0]}
INWARD = {"normal_x": -CIRCLE[:, 0].numpy(), "normal_y": -CIRCLE[:, 1].numpy()}


@pytest.mark.parametrize(
    ("inside", "wall", "message"),
    [
        (SQUARE, framed(CIRCLE).drop(columns="y"), r"column 'y' is not in .*wall.csv"),
        (SQUARE, framed(CIRCLE, normal_x=1.0), r"column 'normal_y' is not in .*wall.csv"),
        (
            SQUARE,
            framed(CIRCLE, nomal_x=1.0),
            r"'nomal_x' of .*wall.csv is neither a coordinate nor a normal: did you mean normal_x",
        ),
        (SQUARE, framed(CIRCLE, **ZERO), "the normal in line 10 of .*wall.csv is zero"),
        (SQUARE, framed(CIRCLE, **INWARD), "9 of 9 normals of .* point to the next point inside"),
        (SQUARE[:0], CIRCLE, "inside.csv has a header but no rows"),
        (SQUARE[:, :1].repeat(1, 2)[[0, 1, 0]], CIRCLE, "1 of 3 points .* line 4 that of line 2"),
        (framed(SQUARE).replace(float(SQUARE[3, 0]), torch.inf), CIRCLE, "'x' of .*inside.csv"),
        (framed(SQUARE)[["x"]], CIRCLE, "needs two coordinates or more, .* has only x"),
    ],
)
def test_bad_tables_are_refused_in_one_line(
    inside: Any, wall: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        cloud_of(tmp_path, inside, wall)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PointCloud("missing.csv"), "missing.csv does not exist: check the paths of the"),
        (
            lambda: own(ring(40, 20), dirichlet("a", "lid")),
            "condition a of Own: the boundary has no part 'lid': choose from rim, hole",
        ),
        (
            lambda: own(ring(40, 20, normals=False), neumann("a", "hole")),
            "a derivative along the normal, .* hole: add columns normal_x, normal_y to .*hole.csv",
        ),
        (
            lambda: own(ring(40, 20), coordinates=("x", "z")),
            "domain of Own has the coordinates x, y, but those of the equation begin with x, z",
        ),
        (lambda: own(ball(40, 20)), "domain of Own has 3 coordinates"),
        (lambda: own(ring(40, 20), dirichlet("a", {"x": "low"})), "x is a coordinate of a PointCl"),
    ],
)
def test_what_does_not_fit_the_equation_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        EquationData(make())
    assert "\n" not in str(caught.value)


def test_two_values_on_the_same_points_are_refused(tmp_path: Path) -> None:
    inside = table(tmp_path / "inside.csv", SQUARE)
    parts = {"wall": CIRCLE, "half": CIRCLE[:4], "touching": torch.cat([CIRCLE[:1], 2 * CIRCLE])}
    cloud = PointCloud(
        inside, {name: table(tmp_path / f"{name}.csv", x) for name, x in parts.items()}
    )
    EquationData(own(cloud, dirichlet("a", "wall"), dirichlet("b", "touching")))
    with pytest.raises(ConfigurationError, match="a and b of Own are on wall and half"):
        EquationData(own(cloud, dirichlet("a", "wall"), dirichlet("b", "half", 1.0)))
