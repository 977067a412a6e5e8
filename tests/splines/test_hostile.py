"""Four thousand generated cases: no NaN, no coincident knots, the function kept.

The bounds, in float64, relative to the largest coefficient or to the curve's own norm, and beside
them the rounding of x over the narrowest interval, which no arithmetic in x gets under:

- knots inserted into a grid leave each curve as it is, to 1e-9;
- projected onto knots that contain the old ones a curve stays as it is, to 1e-9;
- projected onto knots that move, a curve's L2 norm never grows, and what is lost is orthogonal
  to all splines on the new knots, to 1e-9: there is no closer spline;
- refitted on samples (by normal equations, which lose half the digits), the sum of its squares
  there never grows by more than 1 %.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from kanlit.adaptation import CurvatureDensity, InputDensity, Placement, adapt_grids, kan_layers
from kanlit.bases import BSplineBasis
from kanlit.nn import KAN
from kanlit.splines import (
    Exterior,
    Outside,
    breakpoints_of,
    bspline_basis,
    extend_breakpoints,
    insert_knots,
    inserted_breakpoints,
    project,
    weighted_quantile_breakpoints,
)

KNOT_CASES, INSERT_CASES, PROJECT_CASES, SAMPLE_CASES, NETWORK_CASES = 2640, 660, 460, 200, 60


def laws(cases: int) -> Any:
    return settings(
        max_examples=cases,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


COLUMNS = (
    "uniform", "normal", "constant", "zero", "two values", "ties", "integers", "outlier up",
    "outlier down", "outliers both", "clusters", "powers", "years", "tiny", "huge", "almost tied",
)  # fmt: skip
MASSES = (
    "none", "equal", "random", "spike", "zero", "half zero", "sixty decades", "subnormal",
    "own for each column",
)  # fmt: skip
DEGREES = st.integers(1, 5)
SEEDS = st.integers(0, 2**20)
# One choice for each argument: what hypothesis spends on a choice is as much as a law takes.
SIZES = st.sampled_from([*range(1, 13)] * 2 + [30, 100, 500] * 4)
COUNTS = st.sampled_from([*range(1, 6)] * 39 + [*range(6, 201)])
EXTERIOR: dict[Outside, Exterior] = {"linear": "end", "zero": "uniform"}
OUTSIDE: st.SearchStrategy[Outside] = st.sampled_from(["linear", "zero"])


def kinds_of(most: int) -> st.SearchStrategy[tuple[str, ...]]:
    """One to so many kinds of columns, each number of them as often."""
    choices: list[tuple[str, ...]] = []
    for n in range(1, most + 1):
        choices += list(itertools.product(COLUMNS, repeat=n)) * len(COLUMNS) ** (most - n)
    return st.sampled_from(choices)


def column(kind: str, n: int, generator: torch.Generator) -> Tensor:
    u = torch.rand(n, generator=generator, dtype=torch.float64)
    x = 2 * u - 1
    if kind == "normal":
        return torch.randn(n, generator=generator, dtype=torch.float64)
    if kind in ("constant", "zero"):
        return torch.full_like(x, 0.0 if kind == "zero" else 0.7)
    if kind == "two values":
        return x.sign()
    if kind == "ties":
        return (3 * x).round() / 3
    if kind == "integers":
        return (1000 * x).round()
    if kind.startswith("outlier"):
        x[0] = -1e6 if kind == "outlier down" else 1e6
        if kind == "outliers both":
            x[-1] = -1e6
        return x
    if kind == "clusters":
        return x.sign() + 1e-5 * u
    if kind == "powers":
        return 10 ** (12 * u - 12)
    if kind == "years":
        return 2000 + x
    if kind in ("tiny", "huge"):
        return x * (1e-30 if kind == "tiny" else 1e30)
    if kind == "almost tied":
        return 0.3 + 1e-15 * u
    return x


def masses(kind: str, n: int, features: int, generator: torch.Generator) -> Tensor | None:
    u = torch.rand(n, generator=generator, dtype=torch.float64)
    if kind == "none":
        return None
    if kind == "spike":
        return (torch.arange(n) == n // 2).double()
    if kind == "own for each column":
        return torch.rand(n, features, generator=generator, dtype=torch.float64) ** 4
    return {
        "equal": torch.ones_like(u),
        "zero": torch.zeros_like(u),
        "half zero": u * (u > 0.5),
        "sixty decades": 10 ** (60 * u - 30),
        "subnormal": u * 1e-310,
    }.get(kind, u)


def hostile(
    kinds: Sequence[str], mass: str, n: int, seed: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor | None]:
    """Samples ``(n, in)``, the last feature a duplicate of the first, and their weights."""
    generator = torch.Generator().manual_seed(seed)
    columns = [column(kind, n, generator) for kind in kinds]
    x = torch.stack([*columns, columns[0]], dim=1).to(dtype)
    return x, masses(mass, n, x.shape[1], generator)


def curves(knots: Tensor, degree: int, seed: int) -> Tensor:
    """Coefficients ``(2, in, G+k)``."""
    shape = (2, knots.shape[0], knots.shape[1] - degree - 1)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def values(c: Tensor, x: Tensor, knots: Tensor, degree: int, outside: Outside) -> Tensor:
    """``(in, n, out)`` of the splines at x ``(in, n)``."""
    basis = bspline_basis(x.T, knots, degree, outside=outside)
    return torch.einsum("nib,oib->ino", basis, c)


def quadrature(edges: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights ``(in, …)``, the test's own."""
    node, weight = (torch.from_numpy(a) for a in leggauss(points))
    half = edges.diff(dim=1).unsqueeze(-1) / 2
    centre = (edges[:, 1:] + edges[:, :-1]).unsqueeze(-1) / 2
    return (centre + half * node).flatten(1), (half * weight).flatten(1)


def bound(*grids: Tensor) -> Tensor:
    """1e-9, and what the rounding of x makes of it in very narrow intervals, ``(in, 1, 1)``."""
    resolution = torch.finfo(torch.float64).eps
    parts = [b.abs().amax(1) / b.diff(dim=1).amin(1) for b in grids]
    return (1e-9 + 100 * resolution * torch.stack(parts).amax(0))[:, None, None]


# -- knots --------------------------------------------------------------------------------------


@laws(KNOT_CASES)
@given(
    kinds=kinds_of(3),
    mass=st.sampled_from(MASSES),
    n=COUNTS,
    grid_size=SIZES,
    mix=st.sampled_from([0.0, 0.2, 1.0]),
    least_gap=st.sampled_from([0.01] * 3 + [1e-6, 0.5, 1.0]),
    margin=st.sampled_from([0.0, 0.01, 0.5]),
    single=st.booleans(),
    seed=SEEDS,
)
def test_knots_rise_and_hold_all_samples(
    kinds: tuple[str, ...],
    mass: str,
    n: int,
    grid_size: int,
    mix: float,
    least_gap: float,
    margin: float,
    single: bool,
    seed: int,
) -> None:
    x, w = hostile(kinds, mass, n, seed, torch.float32 if single else torch.float64)
    b = weighted_quantile_breakpoints(
        x, w, grid_size, uniform_mix=mix, least_gap=least_gap, margin=margin
    )
    assert b.dtype == x.dtype
    assert b.shape == (x.shape[1], grid_size + 1)
    for exterior in ("end", "uniform"):
        knots = extend_breakpoints(b.double(), 1 + seed % 5, exterior).to(b.dtype)
        assert torch.isfinite(knots).all()
        assert (knots.diff(dim=1) > 0).all()
    wide, eps = b.double(), torch.finfo(b.dtype).eps
    rounding = 4 * eps * wide.abs().amax(1, keepdim=True)
    step = (wide[:, -1:] - wide[:, :1]) / grid_size
    assert (wide.diff(dim=1) >= max(least_gap, mix) * step - rounding).all()
    assert (wide[:, 0] <= x.double().amin(0) + rounding[:, 0]).all()
    assert (wide[:, -1] >= x.double().amax(0) - rounding[:, 0]).all()
    if mass != "own for each column":
        assert torch.equal(b[0], b[-1])  # duplicate features get the same knots


# -- refits -------------------------------------------------------------------------------------


@laws(INSERT_CASES)
@given(
    kinds=kinds_of(2),
    mass=st.sampled_from(MASSES),
    n=COUNTS,
    grid_size=st.integers(1, 12),
    more=st.integers(1, 8),
    degree=DEGREES,
    single=st.booleans(),
    seed=SEEDS,
)
def test_inserted_knots_keep_the_old_ones_and_the_curve(
    kinds: tuple[str, ...],
    mass: str,
    n: int,
    grid_size: int,
    more: int,
    degree: int,
    single: bool,
    seed: int,
) -> None:
    dtype = torch.float32 if single else torch.float64
    x, w = hostile(kinds, mass, n, seed, dtype)
    old_b = weighted_quantile_breakpoints(x, w, grid_size, uniform_mix=0.2)
    try:
        new_b = inserted_breakpoints(old_b, x, w, grid_size + more)
    except ValueError as error:
        # A span of a few hundred units in the last place has no room for so many.
        assert "standardize the inputs" in str(error)  # noqa: PT017
        span = (old_b[:, -1] - old_b[:, 0]).double() / old_b.abs().amax(1).double()
        assert span.min() < 1e4 * grid_size * torch.finfo(dtype).eps
        return
    assert (new_b.diff(dim=1) > 0).all()
    old_b, new_b = old_b.double(), new_b.double()
    at = torch.searchsorted(new_b, old_b)
    assert torch.equal(new_b.gather(1, at), old_b)
    old, new = (extend_breakpoints(b, degree) for b in (old_b, new_b))
    c = curves(old, degree, seed)
    kept = insert_knots(c, old, new, degree)
    points, _ = quadrature(new_b, 3)
    change = values(kept, points, new, degree, "linear") - values(c, points, old, degree, "linear")
    assert (change.abs() <= bound(new_b) * c.abs().max()).all()


@laws(PROJECT_CASES)
@given(
    kinds=kinds_of(2),
    mass=st.sampled_from(MASSES),
    n=COUNTS,
    old_size=st.integers(1, 12),
    new_size=st.integers(1, 14),
    nested=st.booleans(),
    degree=DEGREES,
    outside=OUTSIDE,
    seed=SEEDS,
)
def test_projection_is_the_nearest_curve_and_the_same_where_it_can_be(
    kinds: tuple[str, ...],
    mass: str,
    n: int,
    old_size: int,
    new_size: int,
    nested: bool,
    degree: int,
    outside: Outside,
    seed: int,
) -> None:
    x, w = hostile(kinds, mass, n, seed)
    old_b = weighted_quantile_breakpoints(x, w, old_size, uniform_mix=0.2)
    if nested and outside == "linear":
        middles = (old_b[:, 1:] + old_b[:, :-1]) / 2
        new_b = torch.cat([old_b, middles], dim=1).sort(dim=1).values
    else:
        moved, own = hostile(kinds, MASSES[seed % len(MASSES)], n, seed + 1)
        new_b = weighted_quantile_breakpoints(moved, own, new_size)
    old, new = (extend_breakpoints(b, degree, EXTERIOR[outside]) for b in (old_b, new_b))
    c = curves(old, degree, seed)
    projected = project(c, old, new, degree, outside)
    assert torch.isfinite(projected).all()

    b, before = (new_b, old_b) if outside == "linear" else (new, old)
    low, high = b[:, :1], b[:, -1:]
    if outside == "zero":
        low, high = torch.minimum(low, before[:, :1]), torch.maximum(high, before[:, -1:])
    edges = torch.cat([low, b, before, high], dim=1).clamp(min=low, max=high).sort(dim=1).values
    points, weight = quadrature(edges, degree + 2)
    weight = (weight / (high - low)).unsqueeze(-1)
    source = values(c, points, old, degree, outside)
    basis = bspline_basis(points.T, new, degree, outside=outside).transpose(0, 1)
    result = torch.einsum("inb,oib->ino", basis, projected)
    norm = (weight * source.square()).sum(1).sqrt()
    least = bound(b, before)
    size = (weight * result.square()).sum(1).sqrt()
    assert (size <= (1 + least.squeeze(1)) * norm + 1e-300).all()
    size = (weight * basis.square()).sum(1).sqrt().unsqueeze(-1)
    lost = torch.einsum("inb,ino->ibo", weight * basis, result - source)
    assert (lost.abs() <= least * size * norm.unsqueeze(1) + 1e-300).all()
    if nested and outside == "linear":
        assert ((result - source).abs() <= least * c.abs().max()).all()


@laws(SAMPLE_CASES)
@given(
    kinds=kinds_of(2),
    mass=st.sampled_from(MASSES),
    n=COUNTS,
    old_size=st.integers(1, 12),
    new_size=st.integers(1, 14),
    degree=DEGREES,
    outside=OUTSIDE,
    seed=SEEDS,
)
def test_refit_on_samples_never_makes_the_curve_larger_on_them(
    kinds: tuple[str, ...],
    mass: str,
    n: int,
    old_size: int,
    new_size: int,
    degree: int,
    outside: Outside,
    seed: int,
) -> None:
    x, w = hostile(kinds, mass, n, seed)
    old, new = (
        extend_breakpoints(
            weighted_quantile_breakpoints(x, w, size, uniform_mix=0.2), degree, EXTERIOR[outside]
        )
        for size in (old_size, new_size)
    )
    c = curves(old, degree, seed)
    basis = BSplineBasis.from_knots(new, degree, outside)
    fitted = basis.fit_to_samples(c, BSplineBasis.from_knots(old, degree, outside), x)
    assert torch.isfinite(fitted).all()
    before = values(c, x.T, old, degree, outside)
    after = values(fitted, x.T, new, degree, outside)
    assert (after.square().sum(1) <= 1.01 * before.square().sum(1) + 1e-12).all()


# -- whole networks -----------------------------------------------------------------------------


@laws(NETWORK_CASES)
@given(
    kinds=kinds_of(2),
    n=COUNTS,
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    degree=st.integers(2, 4),
    outside=OUTSIDE,
    extension=st.sampled_from(["replace", "insert"]),
    curvature=st.booleans(),
    single=st.booleans(),
    seed=SEEDS,
)
def test_a_network_survives_any_samples(
    kinds: tuple[str, ...],
    n: int,
    sizes: list[int],
    degree: int,
    outside: Outside,
    extension: Any,
    curvature: bool,
    single: bool,
    seed: int,
) -> None:
    dtype = torch.float32 if single else torch.float64
    x, _ = hostile(
        [kind for kind in kinds if kind != "huge"] or ["uniform"], "none", n, seed, dtype
    )
    generator = torch.Generator().manual_seed(seed)
    network = KAN(
        [x.shape[1], 3, 1], spline_order=degree, outside=outside, generator=generator, dtype=dtype
    )
    density = CurvatureDensity() if curvature else InputDensity()
    placement = Placement(extension=extension)
    for size in sorted(sizes):
        state = {name: value.clone() for name, value in network.state_dict().items()}
        try:
            adapt_grids(network, x, density, size, placement=placement)
        except ValueError as error:
            # Refused in words, and whole.
            assert "standardize the inputs" in str(error)  # noqa: PT017
            for name, value in network.state_dict().items():
                assert torch.equal(value, state[name])
        for layer in kan_layers(network).values():
            assert (layer.knots.diff(dim=1) > 0).all()
            assert torch.isfinite(layer.coefficients).all()
        assert torch.isfinite(network(x)).all()
        assert breakpoints_of(layer.knots, degree).shape[1] == layer.grid_size + 1


@pytest.mark.parametrize("grid_size", [1, 2, 7, 50, 500])
@pytest.mark.parametrize("n", [1, 3, 700])
@pytest.mark.parametrize("extension", ["replace", "insert"])
def test_any_grid_size_goes_with_any_number_of_samples(
    grid_size: int, n: int, extension: Any
) -> None:
    network = KAN([2, 2, 1], grid_size=1, dtype=torch.float64)
    x = torch.rand(n, 2, dtype=torch.float64)
    adapt_grids(network, x, InputDensity())
    before = network(x).detach()
    adapt_grids(network, x, CurvatureDensity(), grid_size, placement=Placement(extension=extension))
    assert {layer.grid_size for layer in kan_layers(network).values()} == {grid_size}
    if extension == "insert" and grid_size > 1:
        torch.testing.assert_close(network(x), before, rtol=1e-9, atol=1e-9)


def test_at_least_four_thousand_cases_are_generated() -> None:
    cases = (KNOT_CASES, INSERT_CASES, PROJECT_CASES, SAMPLE_CASES, NETWORK_CASES)
    assert sum(cases) >= 4_000
