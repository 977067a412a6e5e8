"""Domains: uniform points, the parts of a boundary with outward normals, and bad ones refused."""

from __future__ import annotations

import json
from math import pi
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clouds import ball, ring
from kanlit.data import EquationData
from kanlit.data.points import GridPoints, RandomPoints, problem_points
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule
from kanlit.nn import KAN, Jet
from kanlit.problems import (
    BoundaryValueProblem,
    Box,
    Condition,
    Domain,
    Equation,
    Polygon,
    dirichlet,
    neumann,
    periodic,
)
from kanlit.problems.window import with_bounds
from kanlit.scaling import Columns

shapely = pytest.importorskip("shapely")
RADIUS = 0.3
DISK = shapely.Point(0.5, 0.5).buffer(RADIUS, quad_segs=64)
SQUARE = shapely.box(0, 0, 1, 1)
LEFT = shapely.LineString([(0, 0), (0, 1)])


def holed(axes: Any = ()) -> Polygon:
    return Polygon(SQUARE - DISK, {"disk": DISK, "left": LEFT}, axes)


class HeatAroundHole(Equation):
    """``u_t = u_xx + u_yy`` in a square with a hole."""

    coordinates = ("x", "y", "t")
    domain: Any = holed(((0.0, 2.0),))

    def residual(self, u_t: Tensor, u_xx: Tensor, u_yy: Tensor) -> Tensor:
        return u_t - u_xx - u_yy

    def conditions(self) -> list[Condition]:
        return [
            dirichlet("walls", ["left", "rest"]),
            neumann("insulated", "disk"),
            dirichlet("initial", {"t": "low"}),
        ]


def own(domain: Any, *conditions: Condition, coordinates: Any = ("x", "y", "t")) -> Equation:
    members = {"domain": domain, "conditions": lambda self: conditions, "coordinates": coordinates}
    return type("Own", (HeatAroundHole,), members)()


def drawn(domain: Domain, count: int = 4000, sobol: bool = False) -> Tensor:
    return RandomPoints(torch.Generator().manual_seed(0), count, count, sobol).inside(domain)


def face(domain: Domain, part: Any, count: int = 4000) -> tuple[Tensor, Tensor]:
    return RandomPoints(torch.Generator().manual_seed(0), count, count).on(domain, part)


PIECES = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 0, 5, 1)])
DOMAINS: dict[str, Domain] = {
    "box": Box(((-1.0, 1.0), (0.0, 2.0))),
    "hole": holed(),
    "hole in time": holed(((0.0, 2.0),)),
    "pieces": Polygon(PIECES),
    "channel": Polygon(shapely.LineString([(0, 0), (3, 0), (3, 2)]).buffer(0.25)),
    "L": Polygon("POLYGON ((-1 -1, 0 -1, 0 0, 1 0, 1 1, -1 1, -1 -1))", axes=((0.0, 1.0),)),
    "points of a ring": ring(),
    "points of a ring in time": ring(axes=((0.0, 2.0),)),
    "points of a ball": ball(on=2000),
}
each_domain = pytest.mark.parametrize("domain", DOMAINS.values(), ids=list(DOMAINS))


@each_domain
@pytest.mark.parametrize("sobol", [False, True])
def test_points_are_uniform_in_the_domain(domain: Domain, sobol: bool) -> None:
    x = drawn(domain, 8000, sobol)
    assert bool(domain.contains(x).all())
    low, high = torch.tensor(domain.bounds).double().unbind(1)
    unit = torch.rand(40000, len(low), generator=torch.Generator().manual_seed(1)).double()
    box = low + (high - low) * unit
    fair = box[domain.contains(box)]  # by rejection
    for function in (torch.sin, torch.cos, torch.square):
        found, expected = function(3 * x).mean(0), function(3 * fair).mean(0)
        spread = function(3 * fair).std(0) * (1 / 8000 + 1 / len(fair)) ** 0.5
        assert bool(((found - expected).abs() < 4 * spread).all())


@each_domain
def test_each_part_has_points_of_the_boundary_and_unit_normals_that_leave_the_domain(
    domain: Domain,
) -> None:
    ends = [(axis, end) for axis in range(domain.dim, len(domain.bounds)) for end in (0, 1)]
    for part in (*domain.parts, *ends):
        x, normals = face(domain, part)
        assert bool(domain.contains(x).all())
        torch.testing.assert_close(normals.norm(dim=1), torch.ones(len(x)).double())
        inward, outward = (domain.contains(x + step * normals) for step in (-1e-3, 1e-3))
        assert float(inward.double().mean()) > 0.98  # but for corners
        assert not bool(outward.any())


@pytest.mark.parametrize(
    ("domain", "field", "divergence"),
    [
        (holed(), lambda x: x**2, lambda x: 2 * x.sum(1)),
        (DOMAINS["L"], lambda x: x**3, lambda x: 3 * x.square().sum(1)),
        (DOMAINS["box"], lambda x: torch.sin(x), lambda x: torch.cos(x).sum(1)),
    ],
)
def test_the_flux_through_the_boundary_is_the_divergence_inside(
    domain: Domain, field: Any, divergence: Any
) -> None:
    """Gauss's theorem holds for the drawn points, by the sizes of the domain and its faces."""
    d = len(domain.bounds)
    sizes = [high - low for low, high in domain.axes]
    inside = drawn(domain, 40000, sobol=True)
    time = 1.0
    for size in sizes:
        time *= size
    area = domain.shape.area if isinstance(domain, Polygon) else 1.0
    volume = area * time
    flux = torch.zeros(()).double()
    if isinstance(domain, Polygon):
        x, normals = face(domain, "boundary", 40000)
        flux += (field(x) * normals).sum(1).mean() * domain.shape.length * time
    for axis in range(domain.dim, d):
        for end in (0, 1):
            x, normals = face(domain, (axis, end), 40000)
            flux += (field(x) * normals).sum(1).mean() * volume / sizes[axis - domain.dim]
    torch.testing.assert_close(flux, divergence(inside).mean() * volume, rtol=0.02, atol=0.02)


def test_parts_are_the_boundary_that_lies_in_their_geometry() -> None:
    domain = holed()
    assert set(domain.parts) == {"boundary", "outer", "holes", "disk", "left", "rest"}
    x, normals = face(domain, "disk")
    center = x.new_tensor([0.5, 0.5])
    assert float(((x - center).norm(dim=1) - RADIUS).abs().max()) < 1e-4
    torch.testing.assert_close(normals, (center - x) / RADIUS, rtol=0, atol=0.02)
    x, normals = face(domain, "left")
    assert float(x[:, 0].abs().max()) == 0
    torch.testing.assert_close(normals, x.new_tensor([-1.0, 0.0]).expand_as(x))
    x, _ = face(domain, "rest")
    assert float(x[:, 0].min()) > 0
    assert float((x - center).norm(dim=1).min()) > 0.45
    assert set(DOMAINS["pieces"].parts) == {"boundary", "outer"} | {"rest"}


def test_conditions_may_share_a_boundary_if_they_differ_and_are_not_on_the_rest() -> None:
    for conditions in (
        (dirichlet("a", "holes"), neumann("b", "rest")),  # the hole is a part, so not in the rest
        (dirichlet("a", "boundary"), neumann("b", "left", 2.0)),  # a measured flux
    ):
        equation = own(holed(((0.0, 2.0),)), *conditions)
        assert len(BoundaryValueProblem(equation).conditions) == 2


def test_a_side_of_a_part_may_be_any_piece_of_it() -> None:
    inlet = shapely.LineString([(0, 0.4), (0, 0.6)])
    x, _ = face(Polygon(SQUARE, {"inlet": inlet}), "inlet")
    assert float(x[:, 0].abs().max()) == 0
    torch.testing.assert_close(
        torch.stack(x[:, 1].aminmax()), x.new_tensor([0.4, 0.6]), atol=1e-3, rtol=0
    )


def test_draws_depend_on_seed_and_domain_alone() -> None:
    for sampling in ("uniform", "sobol", "residual"):
        batches = []
        for _ in range(2):
            data = EquationData(
                own(holed(((0.0, 2.0),)), dirichlet("a", "disk")), 4, sampling, 50, 9
            )
            data.setup("fit")
            batches.append(next(iter(data.train_dataloader())))
        torch.testing.assert_close(batches[0], batches[1], rtol=0, atol=0)
        assert {name: len(rows) for name, rows in batches[0].items()} == {
            "collocation": 50,
            "a": 9,
            "a_values": 9,
        }


def test_grids_are_those_points_that_lie_in_the_domain() -> None:
    problem = BoundaryValueProblem(HeatAroundHole())
    batch = problem_points(problem, GridPoints([11, 11, 3], 9))
    x = batch["collocation"]
    assert bool(problem.domain.contains(x).all())
    grid = torch.cartesian_prod(
        *(torch.linspace(0, high, n) for high, n in ((1, 11), (1, 11), (2, 3)))
    )
    assert len(x) == int(((grid[:, :2] - 0.5).norm(dim=1) >= RADIUS).sum())
    assert bool((batch["initial"][:, 2] == 0).all())
    steps = batch["insulated"].unflatten(0, (9, 9))[:, 0, :2].diff(dim=0).norm(dim=1)
    torch.testing.assert_close(steps, steps[:1].expand(8), rtol=0.02, atol=0)


def test_u_n_is_the_derivative_along_the_outward_normal() -> None:
    robin = Condition("robin", "disk", lambda u_n, u: u_n + 2 * u)
    flux = neumann("flux", {"t": "high"}, 1.0)
    problem = BoundaryValueProblem(own(holed(((0.0, 2.0),)), robin, flux))
    batch = problem_points(problem, RandomPoints(torch.Generator().manual_seed(0), 5, 40))
    generator = torch.Generator().manual_seed(0)
    net = KAN([3, 3, 1], spline_order=3, generator=generator, dtype=torch.float64)

    found = problem.condition_residuals(net, batch)

    x = batch["robin"]
    outputs = net.jet(Jet.variables(x, [(0,), (1,)]))
    outward = (x.new_tensor([0.5, 0.5]) - x[:, :2]) / RADIUS
    slope = outputs.stream((0,)) * outward[:, :1] + outputs.stream((1,)) * outward[:, 1:]
    torch.testing.assert_close(found["robin"][1], slope + 2 * net(x), rtol=0, atol=0.02)
    x = batch["flux"]
    slope = net.jet(Jet.variables(x, [(2,)])).stream((2,))
    torch.testing.assert_close(found["flux"][1], slope - 1)


@pytest.mark.parametrize("end", ["low", "high"])
def test_neumann_at_both_ends_of_a_box_has_opposite_signs(end: Any) -> None:
    class Rod(Equation):
        coordinates = ("x",)
        bounds = ((0.0, 2.0),)

        def residual(self, u_xx: Tensor) -> Tensor:
            return u_xx

        def conditions(self) -> list[Condition]:
            return [neumann("flux", {"x": end}, 3.0)]

        def solution(self, points: Tensor) -> Tensor:
            return 3 * points if end == "high" else -3 * points

    problem = BoundaryValueProblem(Rod())
    batch = problem_points(problem, GridPoints([4], 4))

    class Exact:
        def __call__(self, x: Tensor) -> Tensor:
            return Rod().solution(x)

        def jet(self, inputs: Jet) -> Jet:
            return inputs * (3.0 if end == "high" else -3.0)

    ((_, values),) = problem.condition_residuals(Exact(), batch).values()
    assert float(values.abs().max()) == 0


def test_a_horizon_cuts_the_time_and_not_the_shape() -> None:
    shorter = with_bounds(HeatAroundHole(), 2, 0.0, 0.5)
    assert BoundaryValueProblem(shorter).domain.bounds == ((0.0, 1.0), (0.0, 1.0), (0.0, 0.5))
    assert HeatAroundHole.domain.bounds[2] == (0.0, 2.0)
    with pytest.raises(ConfigurationError, match="one of the shape of a Polygon"):
        with_bounds(HeatAroundHole(), 0, 0.0, 0.5)


def test_an_ansatz_is_tried_on_the_parts() -> None:
    def ansatz(self: Any, u: Any, x: Any, y: Any) -> Any:
        return ((x - 0.5) ** 2 + (y - 0.5) ** 2 - RADIUS**2) * u

    round_hole = Polygon(SQUARE - shapely.Point(0.5, 0.5).buffer(RADIUS, quad_segs=1))  # a rhombus
    equation = own(round_hole, dirichlet("hole", "holes", exact=True), coordinates=("x", "y"))
    members = {"ansatz": ansatz, "residual": lambda self, u_xx: u_xx}
    with pytest.raises(ConfigurationError, match=r"misses it by .* at the part holes"):
        BoundaryValueProblem(type("Own", (type(equation),), members)())


FEATURES = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]]],
            },
        },
        {
            "type": "Feature",
            "properties": {"name": "inlet"},
            "geometry": {"type": "LineString", "coordinates": [[0, 0], [0, 1]]},
        },
    ],
}


def test_files_of_geojson_and_wkt_are_read(tmp_path: Path) -> None:
    path = tmp_path / "channel.geojson"
    path.write_text(json.dumps(FEATURES))
    channel = Polygon(str(path))
    assert channel.bounds == ((0.0, 2.0), (0.0, 1.0))
    assert float(face(channel, "inlet")[0][:, 0].abs().max()) == 0
    path.write_text(json.dumps(FEATURES["features"][0]["geometry"]))  # type: ignore[index]
    assert Polygon(path).shape.area == 2
    other = tmp_path / "disk.wkt"
    other.write_text(DISK.wkt)
    assert Polygon(other).shape.area == pytest.approx(pi * RADIUS**2, rel=1e-3)


BOW = "POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))"
THERE = ((0.0, 2.0),)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Polygon(BOW), r"the polygon is not valid \(Self-intersection.*make_valid"),
        (lambda: Polygon(SQUARE - shapely.box(-1, -1, 2, 2)), "the polygon is empty"),
        (lambda: Polygon(LEFT), "the domain is a LineString, not a polygon"),
        (lambda: Polygon("POLYGON 0 0"), "of a polygon is no geometry .*: give one of shapely"),
        (lambda: Polygon(3), "'3' of a polygon is no geometry"),
        (lambda: Polygon("missing.geojson"), "cannot read missing.geojson"),
        (lambda: Polygon(SQUARE, {"far": shapely.Point(9, 9)}), "no boundary .* in its part far"),
        (lambda: Polygon(SQUARE, {"outer": LEFT}), "cannot be named outer"),
        (
            lambda: own(holed(THERE), dirichlet("a", "lid")),
            r"condition a of Own: the boundary has no part 'lid': choose from boundary, outer",
        ),
        (lambda: own(holed(THERE), dirichlet("a", {"x": "low"})), "x is a coordinate of a Polygon"),
        (
            lambda: own(Box(((0.0, 1.0),) * 3), dirichlet("a", "lid")),
            r"no part 'lid': those of a box are written as \{\"x\"",
        ),
        (
            lambda: own(
                Polygon(SQUARE - DISK, axes=THERE), dirichlet("a", "holes"), neumann("b", "rest")
            ),
            "conditions a and b of Own are on holes and rest, which have some of the boundary",
        ),
        (
            lambda: own(holed(THERE), dirichlet("a", "outer"), dirichlet("b", "left", 1.0)),
            "conditions a and b of Own are on outer and left, which have some of the boundary",
        ),
        (lambda: own(holed(THERE), periodic("a", "x")), "x is a coordinate of a Polygon"),
        (lambda: own(holed()), r"axes of the domain of Own must be a pair for each of t"),
        (lambda: own(holed(((2.0, 1.0),))), "axes of the domain of Own: t ranges from 2 to 1"),
        (lambda: own(holed(THERE), coordinates=("x", "y")), "no coordinate after x, y"),
        (lambda: own(holed(), coordinates=("x",)), "domain of Own has 2 coordinates"),
        (lambda: own(SQUARE), "domain of Own must be a domain of kanlit, such as Polygon"),
    ],
)
def test_what_is_no_domain_is_refused_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        EquationData(make())
    assert "\n" not in str(caught.value)


def test_a_grid_without_a_point_in_the_domain_is_refused() -> None:
    thin = Polygon(shapely.LineString([(0, 0), (1, 1)]).buffer(1e-3))
    data = EquationData(own(Polygon(thin.shape, axes=THERE)), [3, 4, 2])
    with pytest.raises(ConfigurationError, match="none of 6 grid points lies in the domain"):
        data.build("validate")


def test_a_prediction_in_the_box_of_a_polygon_but_not_in_it_is_outside() -> None:
    module = PDEModule(3, 1, hidden=[2], spline_order=3)
    domain = holed(((0.0, 2.0),))
    module.columns = Columns.from_points("xyt", "u", drawn(domain))
    points = torch.tensor([[0.5, 0.5, 1.0], [0.1, 0.1, 1.0], [0.1, 0.1, 3.0]])

    assert module.is_outside(points).tolist() == [False, False, True]

    module.problem = own(domain)
    assert module.is_outside(points).tolist() == [True, False, True]
