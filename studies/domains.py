"""Equations on polygons and given points, with known solutions or finite elements as references.

The results are in docs/results/domains.md. The settings were chosen on the seeds from 1000 on. The
references need scikit-fem.

    python studies/domains.py disks --first 0 --draws 3
    python studies/domains.py corner --first 0 --draws 3
    python studies/domains.py ball --first 0 --draws 3
    python studies/domains.py hole --first 0 --draws 3
    python studies/domains.py obstacle --first 0 --draws 1
"""

from __future__ import annotations

import argparse
import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from quiet_trainer import quiet_trainer
from shapely import LineString, MultiPoint, Point, box
from torch import Tensor

from kanlit import (
    Equation,
    EquationData,
    LevenbergMarquardt,
    PDEModule,
    PointCloud,
    Polygon,
    dirichlet,
    neumann,
)
from kanlit.callbacks import GridAdaptationCallback, KeepBest
from kanlit.data import ResidualDraw
from kanlit.data.points import RandomPoints
from kanlit.problems import Condition

CENTER, RADIUS = 0.3, 0.1
DISKS = MultiPoint([(x, y) for x in (-CENTER, CENTER) for y in (-CENTER, CENTER)]).buffer(
    RADIUS, quad_segs=64
)
HOLE = Point(0.4, 0.5).buffer(0.2, quad_segs=64)
ROUND = Point(0.5, 0.5).buffer(0.15, quad_segs=64)


class Disks(Equation):
    """PINNacle's Poisson 2d-C: 1 on a square, 0 on four disks that are cut out."""

    coordinates = ("x", "y")
    domain = Polygon(box(-0.5, -0.5, 0.5, 0.5) - DISKS)

    def residual(self, u_xx: Tensor, u_yy: Tensor) -> Tensor:
        return u_xx + u_yy

    def conditions(self) -> list[Condition]:
        return [dirichlet("square", "outer", 1.0), dirichlet("disks", "holes", 0.0)]


class Corner(Equation):
    """The Laplace equation on an L, with the solution r^(2/3) sin(2θ/3) at its inner corner."""

    coordinates = ("x", "y")
    domain = Polygon("POLYGON ((-1 -1, 0 -1, 0 0, 1 0, 1 1, -1 1, -1 -1))")

    def residual(self, u_xx: Tensor, u_yy: Tensor) -> Tensor:
        return u_xx + u_yy

    def conditions(self) -> list[Condition]:
        return [dirichlet("walls", "boundary", self.solution)]

    def solution(self, points: Tensor) -> Tensor:
        x, y = points.split(1, 1)
        angle = torch.atan2(y, x)
        angle = torch.where(angle < -1e-9, angle + 2 * math.pi, angle)  # 0 to 3π/2
        return (x**2 + y**2) ** (1 / 3) * torch.sin(2 / 3 * angle)


def ball_points(inside: int = 5000, on: int = 1600) -> PointCloud:
    """Random points in the unit ball, and on the halves of its surface."""
    random = np.random.default_rng(0)
    cube = random.uniform(-1, 1, (3 * inside, 3))
    surface = random.normal(size=(on, 3))
    surface /= np.linalg.norm(surface, axis=1, keepdims=True)
    names = ["x", "y", "z", "normal_x", "normal_y", "normal_z"]
    table = pd.DataFrame(np.c_[surface, surface], columns=names)
    halves = {"lower": table[table.z < 0], "upper": table[table.z >= 0]}
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: f"{folder}/{name}.csv" for name in ("inside", *halves)}
        within = cube[np.linalg.norm(cube, axis=1) < 1][:inside]
        pd.DataFrame(within, columns=names[:3]).to_csv(paths["inside"], index=False)
        for name, half in halves.items():
            half.to_csv(paths[name], index=False)
        return PointCloud(paths.pop("inside"), paths)


class Ball(Equation):
    """Poisson's equation in a ball that is given by points, with the flux through a half of it.

    The solution is ``sin(3x) cos(2y) exp(z)``.
    """

    coordinates = ("x", "y", "z")
    domain = ball_points()

    def residual(self, u_xx: Tensor, u_yy: Tensor, u_zz: Tensor, source: Tensor) -> Tensor:
        return u_xx + u_yy + u_zz - source

    def source(self, points: Tensor) -> Tensor:
        return -12 * self.solution(points)

    def conditions(self) -> list[Condition]:
        return [dirichlet("held", "lower", self.solution), neumann("flux", "upper", self._flux)]

    def _flux(self, points: Tensor) -> Tensor:
        x, y, z = points.split(1, 1)
        slopes = 3 * x / torch.tan(3 * x) - 2 * y * torch.tan(2 * y) + z
        return slopes * self.solution(points)

    def solution(self, points: Tensor) -> Tensor:
        x, y, z = points.split(1, 1)
        return torch.sin(3 * x) * torch.cos(2 * y) * torch.exp(z)


class Hole(Equation):
    """Heat from a hot hole into a square, of which one side is cold and the others insulate."""

    coordinates = ("x", "y", "t")
    domain = Polygon(
        box(0, 0, 1, 1) - HOLE,
        {"hole": HOLE, "cold": LineString([(1, 0), (1, 1)])},
        axes=((0.0, 0.5),),
    )

    def residual(self, u_t: Tensor, u_xx: Tensor, u_yy: Tensor) -> Tensor:
        return u_t - 0.2 * (u_xx + u_yy)

    def conditions(self) -> list[Condition]:
        def heating(points: Tensor) -> Tensor:
            return 1 - torch.exp(-20 * points[:, 2:])

        return [
            dirichlet("heated", "hole", heating),
            dirichlet("cold", "cold"),
            neumann("insulated", "rest"),
            dirichlet("start", {"t": "low"}),
        ]


class Obstacle(Equation):
    """Steady flow in a cavity with a disk in it, driven by its lid, at Re = 100.

    The velocity of the lid is ``16 x² (1 - x)²``. It and the other walls are in the ansatz.
    """

    coordinates = ("x", "y")
    unknowns = ("u", "v", "p")
    domain = Polygon(box(0, 0, 1, 1) - ROUND)

    def ansatz(self, u: Any, v: Any, x: Any, y: Any) -> dict[str, Any]:
        inside = 16 * x * (1 - x) * y * (1 - y)
        return {"u": lid(x) * y**2 * (3 - 2 * y) + inside * u, "v": inside * v}

    def residual(
        self,
        u: Tensor,
        v: Tensor,
        u_x: Tensor,
        u_y: Tensor,
        v_x: Tensor,
        v_y: Tensor,
        p_x: Tensor,
        p_y: Tensor,
        u_xx: Tensor,
        u_yy: Tensor,
        v_xx: Tensor,
        v_yy: Tensor,
    ) -> dict[str, Tensor]:
        return {
            "momentum_x": u * u_x + v * u_y + p_x - 0.01 * (u_xx + u_yy),
            "momentum_y": u * v_x + v * v_y + p_y - 0.01 * (v_xx + v_yy),
            "mass": u_x + v_y,
        }

    def conditions(self) -> list[Condition]:
        return [dirichlet("disk_u", "holes"), dirichlet("disk_v", "holes", unknown="v")]


def lid(x: Any) -> Any:
    """Its velocity."""
    return 16 * x**2 * (1 - x) ** 2


# -- references by finite elements ----------------------------------------------------------


def ring_mesh(
    corners: tuple[float, float, float, float], center: tuple[float, float], radius: float, n: int
) -> Any:
    """Triangles of a rectangle with a round hole: n along each side, and n from hole to side."""
    from skfem import MeshQuad

    left, bottom, right, top = corners
    s = np.arange(n) / n
    x = np.concatenate(
        [left + (right - left) * s, right + 0 * s, right - (right - left) * s, left + 0 * s]
    )
    y = np.concatenate(
        [bottom + 0 * s, bottom + (top - bottom) * s, top + 0 * s, top - (top - bottom) * s]
    )
    outer = np.stack([x, y])
    middle = np.array(center)[:, None]
    ray = outer - middle
    inner = middle + radius * ray / np.linalg.norm(ray, axis=0)
    layers = np.linspace(0.0, 1.0, n + 1)
    points = np.concatenate([inner + (outer - inner) * layer for layer in layers], 1)
    ring = np.arange(4 * n)
    nextto = np.roll(ring, -1)
    quads = [
        np.stack(
            [k * 4 * n + ring, (k + 1) * 4 * n + ring, (k + 1) * 4 * n + nextto, k * 4 * n + nextto]
        )
        for k in range(n)
    ]
    return MeshQuad(points, np.concatenate(quads, 1)).to_meshtri()


@dataclass(frozen=True)
class Reference:
    """Values of the first unknowns at the nodes of a mesh, at each of some times.

    Attributes:
        nodes: ``(n, 2)``.
        mass: The mass matrix ``(n, n)``.
        values: ``(n,)`` or ``(n, unknowns)`` by time; None for a steady solution.
    """

    nodes: NDArray[np.float64]
    mass: Any
    values: dict[float | None, NDArray[np.float64]]

    def error(self, module: PDEModule) -> float:
        """Relative L2 error of a solution, exact for the interpolant on the mesh."""
        missed = size = 0.0
        for moment, known in self.values.items():
            points = self.nodes
            if moment is not None:
                points = np.c_[points, np.full(len(points), moment)]
            known = known.reshape(len(points), -1)
            with torch.no_grad():
                e = module(torch.from_numpy(points)).numpy()[:, : known.shape[1]] - known
            missed, size = (
                before + np.einsum("ij,ij->", each, self.mass @ each)
                for before, each in ((missed, e), (size, known))
            )
        return float(np.sqrt(missed / size))


@cache
def disks_reference(n: int = 128) -> Reference:
    """The solution for the disks by quadratic elements, on a quarter of the square."""
    from skfem import Basis, ElementTriP2, condense, solve
    from skfem.models.poisson import laplace, mass

    mesh = ring_mesh((0.0, 0.0, 0.5, 0.5), (CENTER, CENTER), RADIUS, n)
    basis = Basis(mesh, ElementTriP2())
    x, y = basis.doflocs
    square = np.isclose(np.maximum(x, y), 0.5)
    disk = np.hypot(x - CENTER, y - CENTER) < RADIUS * (1 + 1e-9)
    values = np.where(square, 1.0, 0.0)
    found = solve(*condense(laplace.assemble(basis), x=values, D=np.flatnonzero(square | disk)))
    return Reference(basis.doflocs.T, mass.assemble(basis), {None: found})


@cache
def hole_reference(n: int = 32, steps: int = 500) -> Reference:
    """The temperatures around the hole by quadratic elements and Crank and Nicolson's rule."""
    from scipy.sparse.linalg import splu
    from skfem import Basis, ElementTriP2
    from skfem.models.poisson import laplace, mass

    mesh = ring_mesh((0.0, 0.0, 1.0, 1.0), (0.4, 0.5), 0.2, n)
    basis = Basis(mesh, ElementTriP2())
    x, y = basis.doflocs
    hot, cold = np.hypot(x - 0.4, y - 0.5) < 0.2 * (1 + 1e-9), np.isclose(x, 1.0)
    free = ~(hot | cold)
    A, M, dt = 0.2 * laplace.assemble(basis).tocsc(), mass.assemble(basis).tocsc(), 0.5 / steps
    left, right = M + dt / 2 * A, M - dt / 2 * A
    factors = splu(left[free][:, free].tocsc())
    u = np.zeros(len(x))
    kept: dict[float | None, NDArray[np.float64]] = {0.0: u}
    for step in range(1, steps + 1):
        new = np.where(hot, 1 - math.exp(-20 * step * dt), 0.0)
        new[free] = factors.solve((right @ u - left @ new)[free])
        u = new
        if step % (steps // 10) == 0:
            kept[step * dt] = u
    return Reference(basis.doflocs.T, M, kept)


@cache
def obstacle_reference(n: int = 32) -> Reference:
    """The velocity around the obstacle by Taylor and Hood's elements and Newton's method."""
    from scipy.sparse import bmat
    from skfem import (
        Basis,
        BilinearForm,
        ElementTriP1,
        ElementTriP2,
        ElementVector,
        LinearForm,
        condense,
        solve,
    )
    from skfem.helpers import ddot, div, dot, grad, mul
    from skfem.models.poisson import mass

    @BilinearForm
    def momentum(u: Any, v: Any, w: Any) -> Any:
        flow = mul(grad(u), w.wind) + mul(grad(w.wind), u)
        return 0.01 * ddot(grad(u), grad(v)) + dot(flow, v)

    @BilinearForm
    def continuity(u: Any, q: Any, w: Any) -> Any:
        return -div(u) * q

    @LinearForm
    def carried(v: Any, w: Any) -> Any:
        return dot(mul(grad(w.wind), w.wind), v)

    mesh = ring_mesh((0.0, 0.0, 1.0, 1.0), (0.5, 0.5), 0.15, n)
    velocity = Basis(mesh, ElementVector(ElementTriP2()), intorder=6)
    pressure = velocity.with_element(ElementTriP1())
    B = continuity.assemble(velocity, pressure)
    walls = velocity.get_dofs().flatten()
    where = velocity.doflocs
    u = np.zeros(velocity.N)
    top = walls[np.isclose(where[1, walls], 1.0)]
    across = np.isin(top, velocity.split_indices()[0])
    u[top[across]] = lid(where[0, top[across]])
    x = np.concatenate([u, np.zeros(pressure.N)])
    fixed = np.concatenate([walls, [velocity.N]])  # the pressure is zero at one node
    for _ in range(12):
        wind = velocity.interpolate(x[: velocity.N])
        A = momentum.assemble(velocity, wind=wind)
        right = np.concatenate([carried.assemble(velocity, wind=wind), np.zeros(pressure.N)])
        new = solve(*condense(bmat([[A, B.T], [B, None]], "csr"), right, x=x, D=fixed))
        step, x = np.abs(new - x)[: velocity.N].max(), new
        if step < 1e-10:
            break
    else:
        raise RuntimeError(f"Newton's method has not converged: the last step is {step:.1e}")
    scalar = velocity.with_element(ElementTriP2())
    parts = np.stack([x[: velocity.N][each] for each in velocity.split_indices()], 1)
    return Reference(scalar.doflocs.T, mass.assemble(scalar), {None: parts})


# -- runs -----------------------------------------------------------------------------------


def corner_error(module: PDEModule) -> float:
    x = RandomPoints(torch.Generator().manual_seed(12345), 20000, 1).inside(Corner.domain)
    known = Corner().solution(x)
    with torch.no_grad():
        return float((module(x) - known).norm() / known.norm())


def ball_error(module: PDEModule) -> float:
    """At fresh points in the ball."""
    cube = 2 * torch.rand(40000, 3, generator=torch.Generator().manual_seed(12345)).double() - 1
    x = cube[cube.norm(dim=1) < 1]
    known = Ball().solution(x)
    with torch.no_grad():
        return float((module(x) - known).norm() / known.norm())


@dataclass(frozen=True)
class Task:
    """An equation, its settings, and its error against the reference."""

    equation: Equation
    error: Callable[[PDEModule], float]
    epochs: int
    schedule: dict[int, int]  # G by epoch
    weight: float  # of the conditions


GROWING = {0: 6, 30: 8, 60: 10, 90: 12}
TASKS = {
    "disks": Task(Disks(), lambda found: disks_reference().error(found), 150, GROWING, 1e4),
    "ball": Task(Ball(), ball_error, 60, {0: 3, 30: 5}, 1e2),
    "corner": Task(Corner(), corner_error, 150, GROWING, 1e3),
    "obstacle": Task(
        Obstacle(), lambda found: obstacle_reference().error(found), 100, {0: 4, 30: 6, 60: 8}, 1e2
    ),
    "hole": Task(
        Hole(), lambda found: hole_reference().error(found), 100, {0: 4, 30: 6, 60: 8}, 1e3
    ),
}


def fitted(task: Task, seed: int) -> PDEModule:
    torch.manual_seed(seed)
    d = len(task.equation.coordinates)
    module = PDEModule(
        d,
        len(task.equation.unknowns),
        hidden=[6, 6],
        spline_order=5,
        grid_size=task.schedule[0],
        boundary_weight=task.weight,
        optimizer=lambda p: LevenbergMarquardt(p, relative_ridge=1e-3),
    )
    callbacks: list[Callback] = [
        GridAdaptationCallback(schedule=task.schedule, optimizer_state="keep"),
        KeepBest(),
    ]
    trainer = quiet_trainer(task.epochs, 10, callbacks)
    data = EquationData(
        task.equation,
        sampling="residual",
        points=2500,
        condition_points=400,
        redraw=ResidualDraw(pool=20000, every=5),
        seed=seed,
    )
    trainer.fit(module, data)
    return module.double()


def main(words: Sequence[str] | None = None) -> None:
    """Prints the relative L2 error and the seconds of each draw, and their median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    options = parser.parse_args(words)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    task, errors = TASKS[options.task], []
    for seed in range(options.first, options.first + options.draws):
        start = time.process_time()
        module = fitted(task, seed)
        seconds = time.process_time() - start
        errors.append(task.error(module))
        print(f"{seed}: relative L2 {errors[-1]:.2e}, {seconds:.0f} s", flush=True)
    print(f"median {statistics.median(errors):.2e}")


if __name__ == "__main__":
    main()
