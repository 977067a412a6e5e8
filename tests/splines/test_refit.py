"""A refit keeps the curve: exactly where it can, as closely as the new knots allow otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.polynomial.legendre import leggauss
from scipy.interpolate import BSpline
from torch import Tensor

from kanlit.bases import BSplineBasis
from kanlit.nn import KANLayer
from kanlit.splines import (
    Exterior,
    Outside,
    breakpoints_of,
    bspline_basis,
    extend_breakpoints,
    insert_knots,
    project,
    uniform_breakpoints,
)

DEGREES = (1, 2, 3, 4, 5)
EXTERIOR: dict[Outside, Exterior] = {"linear": "end", "zero": "uniform"}


def random_breakpoints(grid_size: int, features: int = 2, seed: int = 0) -> Tensor:
    """``(in, G+1)`` from -1 to 1, unevenly."""
    generator = torch.Generator().manual_seed(seed)
    gaps = 0.1 + torch.rand(features, grid_size, generator=generator, dtype=torch.float64)
    inner = -1 + 2 * (gaps.cumsum(1) / gaps.sum(1, keepdim=True))[:, :-1]
    ends = torch.ones(features, 1, dtype=torch.float64)
    return torch.cat([-ends, inner, ends], dim=1)


def with_more(breakpoints: Tensor, *shares: float) -> Tensor:
    """The breakpoints and some more in each interval, at these shares of its width."""
    added = [torch.lerp(breakpoints[:, :-1], breakpoints[:, 1:], share) for share in shares]
    return torch.cat([breakpoints, *added], dim=1).sort(dim=1).values


def random_curves(knots: Tensor, degree: int, out: int = 3, seed: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    count = knots.shape[1] - degree - 1
    return torch.randn(out, knots.shape[0], count, generator=generator, dtype=torch.float64)


def values(
    coefficients: Tensor, x: Tensor, knots: Tensor, degree: int, outside: Outside = "linear"
) -> Tensor:
    """``(n, in, out)`` of the splines at x ``(n, in)``."""
    basis = bspline_basis(x, knots.double(), degree, outside=outside)
    return torch.einsum("nib,oib->nio", basis, coefficients.double())


def refit_on_samples(
    x: Tensor, c: Tensor, old: Tensor, new: Tensor, degree: int, outside: Outside = "zero"
) -> Tensor:
    """Least squares at x ``(n, in)``, from old knots to new ones."""
    basis = BSplineBasis.from_knots(new, degree, outside)
    return basis.fit_to_samples(c, BSplineBasis.from_knots(old, degree, outside), x)


def dense(low: float, high: float, features: int = 2, count: int = 501) -> Tensor:
    x = torch.linspace(low, high, count, dtype=torch.float64)
    return x.unsqueeze(1).repeat(1, features)


# -- projection ---------------------------------------------------------------------------------


@pytest.mark.parametrize("outside", ["linear", "zero"])
@pytest.mark.parametrize("degree", DEGREES)
def test_projection_keeps_the_curve_when_new_breakpoints_contain_the_old(
    degree: int, outside: Outside
) -> None:
    old_b = random_breakpoints(5)
    old = extend_breakpoints(old_b, degree, EXTERIOR[outside])
    if outside == "linear":
        new = extend_breakpoints(with_more(old_b, 0.3, 0.7), degree)
        x = dense(-3, 3)
    else:
        # Exterior knots count too where the curve fades over them: refine the whole knot vector.
        inside = with_more(old, 0.5)
        new = extend_breakpoints(inside, degree, "uniform")
        x = dense(float(old.min()) - 1, float(old.max()) + 1)
    c = random_curves(old, degree)
    before = values(c, x, old, degree, outside)
    after = values(project(c, old, new, degree, outside), x, new, degree, outside)
    assert (after - before).abs().max() < 1e-10 * before.abs().max()


@pytest.mark.parametrize("outside", ["linear", "zero"])
@pytest.mark.parametrize("grid_size", [1, 4, 60])
@pytest.mark.parametrize("degree", DEGREES)
def test_projection_onto_the_same_knots_is_the_identity(
    degree: int, grid_size: int, outside: Outside
) -> None:
    knots = extend_breakpoints(random_breakpoints(grid_size), degree, EXTERIOR[outside])
    c = random_curves(knots, degree)
    refitted = project(c, knots, knots, degree, outside)
    x = dense(-1, 1)
    before, after = (values(each, x, knots, degree, outside) for each in (c, refitted))
    assert (after - before).abs().max() < 1e-10 * before.abs().max()
    # One interval alone tells the six bases of degree 5 apart to some nine digits only.
    tolerance = 1e-7 if grid_size == 1 else 1e-10
    torch.testing.assert_close(refitted, c, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("outside", ["linear", "zero"])
@pytest.mark.parametrize("new_size", [2, 9])
@pytest.mark.parametrize("degree", DEGREES)
def test_projection_error_is_orthogonal_to_the_new_splines(
    degree: int, new_size: int, outside: Outside
) -> None:
    old = extend_breakpoints(random_breakpoints(6, seed=1), degree, EXTERIOR[outside])
    new_b = 1.1 * random_breakpoints(new_size, seed=2)
    new = extend_breakpoints(new_b, degree, EXTERIOR[outside])
    c = random_curves(old, degree)
    refitted = project(c, old, new, degree, outside)
    # Gauss points of this test's own, over each piece between any two knots, features by turns.
    node, weight = (torch.from_numpy(a) for a in leggauss(degree + 3))
    for feature in range(2):
        ends = [new_b[feature, 0], new_b[feature, -1]]
        if outside == "zero":
            ends = [torch.minimum(old, new[:, :1]).min(), torch.maximum(old, new[:, -1:]).max()]
        edges = torch.cat([old[feature], new[feature], torch.stack(ends)])
        edges = edges[(edges >= ends[0]) & (edges <= ends[1])].sort().values
        half = edges.diff() / 2
        x = ((edges[1:] + edges[:-1]) / 2 + half * node.unsqueeze(1)).flatten().unsqueeze(1)
        w = (half * weight.unsqueeze(1)).flatten()
        one = slice(feature, feature + 1)
        basis = bspline_basis(x, new[one], degree, outside=outside)[:, 0]
        error = values(refitted[:, one], x, new[one], degree, outside)
        error = (error - values(c[:, one], x, old[one], degree, outside))[:, 0]
        inner = torch.einsum("n,nb,no->bo", w, basis, error)
        size = torch.einsum("n,nb->b", w, basis)
        assert (inner / size.unsqueeze(1)).abs().max() < 1e-10
        assert error.abs().max() > 1e-3  # there was something to lose


@pytest.mark.parametrize("degree", DEGREES)
def test_projection_error_falls_at_order_degree_plus_one(degree: int) -> None:
    fine = extend_breakpoints(torch.linspace(-1, 1, 301, dtype=torch.float64)[None], degree)
    x = dense(-1, 1, 1, 2001)
    basis = bspline_basis(x, fine, degree)[:, 0]
    curve = torch.sin(4 * x + 0.3)
    c = torch.linalg.lstsq(basis, curve).solution.T.unsqueeze(1)
    errors = []
    for grid_size in (8, 16, 32):
        b = torch.linspace(-1, 1, grid_size + 1, dtype=torch.float64)[None]
        new = extend_breakpoints(b, degree)
        refitted = values(project(c, fine, new, degree), x, new, degree)
        errors.append((refitted - values(c, x, fine, degree)).square().mean().sqrt())
    orders = (torch.stack(errors)[:-1] / torch.stack(errors)[1:]).log2()
    assert orders.min() > degree + 1 - 0.35


def test_widened_ends_keep_the_linear_continuation_of_a_polyline_exactly() -> None:
    old_b = random_breakpoints(5)
    # Degree 1 goes on in its last piece's own line: new breakpoints need the inner ones only.
    moved = torch.full((2, 1), 0.4, dtype=torch.float64)
    new_b = torch.cat([old_b[:, :1] - moved, old_b[:, 1:-1], old_b[:, -1:] + moved], dim=1)
    old, new = extend_breakpoints(old_b, 1), extend_breakpoints(new_b, 1)
    c = random_curves(old, 1)
    x = dense(-3, 3)
    torch.testing.assert_close(
        values(project(c, old, new, 1), x, new, 1), values(c, x, old, 1), rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_widened_ends_keep_a_straight_line_exactly(degree: int) -> None:
    old = extend_breakpoints(random_breakpoints(5), degree)
    new = extend_breakpoints(1.7 * random_breakpoints(3, seed=4) + 0.2, degree)
    greville = old.unfold(1, degree, 1)[:, 1:-1].mean(-1)
    c = (2.5 - 0.7 * greville).unsqueeze(0)  # the coefficients of 2.5 - 0.7 x
    x = dense(-5, 5)
    refitted = values(project(c, old, new, degree), x, new, degree)[..., 0]
    torch.testing.assert_close(refitted, 2.5 - 0.7 * x, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("step", [0.02, 0.002])
@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_slightly_widened_ends_lose_little_of_the_curve(degree: int, step: float) -> None:
    old_b = random_breakpoints(5)
    old = extend_breakpoints(old_b, degree)
    more = torch.full((2, 1), step, dtype=torch.float64)
    wider = torch.cat([old_b[:, :1] - more, old_b, old_b[:, -1:] + more], dim=1)
    new = extend_breakpoints(wider, degree)
    c = random_curves(old, degree)
    x = dense(-1 - step, 1 + step)
    before = values(c, x, old, degree)
    after = values(project(c, old, new, degree), x, new, degree)
    # A continuation with a continuous slope is itself a spline of degree 2, of higher degree not.
    tolerance = 1e-12 if degree == 2 else 1e-3
    assert (after - before).abs().max() < tolerance * before.abs().max()


@pytest.mark.parametrize("tiny", [1e-6, 1e-9])
@pytest.mark.parametrize("degree", DEGREES)
def test_projection_onto_wildly_uneven_gaps_stays_accurate(degree: int, tiny: float) -> None:
    old_b = random_breakpoints(5)
    old = extend_breakpoints(old_b, degree)
    step = 2 / 5 * tiny
    shifts = step * torch.arange(1, degree + 3, dtype=torch.float64)
    # A narrow bunch after every breakpoint but the last, and one before the last.
    bunches = (old_b[:, :-1, None] + shifts).flatten(1)
    new_b = torch.cat([old_b, bunches, old_b[:, -1:] - shifts], dim=1).sort(dim=1).values
    new = extend_breakpoints(new_b, degree)
    c = random_curves(old, degree)
    refitted = project(c, old, new, degree)
    assert torch.isfinite(refitted).all()
    x = dense(-1, 1)
    before, after = values(c, x, old, degree), values(refitted, x, new, degree)
    assert (after - before).abs().max() < 1e-8 * before.abs().max()
    # And back again.
    torch.testing.assert_close(project(refitted, new, old, degree), c, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("degree", DEGREES)
def test_refits_of_float32_coefficients_are_float32_and_keep_the_curve(degree: int) -> None:
    old_b = random_breakpoints(5).float()
    old, new = extend_breakpoints(old_b, degree), extend_breakpoints(with_more(old_b, 0.5), degree)
    c = random_curves(old, degree).float()
    x = dense(-1, 1)
    before = values(c, x, old, degree)
    for refitted in (project(c, old, new, degree), insert_knots(c, old, new, degree)):
        assert refitted.dtype == torch.float32
        after = values(refitted, x, new, degree)
        assert (after - before).abs().max() < 1e-6 * before.abs().max()


@pytest.mark.parametrize("outside", ["linear", "zero"])
@pytest.mark.parametrize("elements", [1, 700])
def test_projection_in_chunks_of_features_is_the_same(
    elements: int, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = extend_breakpoints(random_breakpoints(4, 7), 3, EXTERIOR[outside])
    new = extend_breakpoints(1.2 * random_breakpoints(6, 7, seed=3), 3, EXTERIOR[outside])
    c = random_curves(old, 3)
    whole = project(c, old, new, 3, outside)
    monkeypatch.setattr("kanlit.splines.refit._CHUNK_ELEMENTS", elements)
    torch.testing.assert_close(project(c, old, new, 3, outside), whole, rtol=1e-12, atol=1e-12)


# -- knot insertion -----------------------------------------------------------------------------


@pytest.mark.parametrize("grid_size", [1, 2, 5, 30])
@pytest.mark.parametrize("degree", DEGREES)
def test_knot_insertion_keeps_the_curve_and_its_continuation(degree: int, grid_size: int) -> None:
    old_b = random_breakpoints(grid_size)
    old = extend_breakpoints(old_b, degree)
    c = random_curves(old, degree)
    x = dense(-3, 3)
    before = values(c, x, old, degree)
    for shares in ((), (0.5,), (0.01, 0.99), (0.2, 0.21, 0.22, 0.9)):
        new = extend_breakpoints(with_more(old_b, *shares), degree)
        after = values(insert_knots(c, old, new, degree), x, new, degree)
        assert (after - before).abs().max() < 1e-12 * before.abs().max()


@pytest.mark.parametrize("degree", DEGREES)
def test_knot_insertion_on_uniform_exterior_knots_keeps_the_curve_inside(degree: int) -> None:
    old_b = random_breakpoints(5)
    old = extend_breakpoints(old_b, degree, "uniform")
    new = extend_breakpoints(with_more(old_b, 0.4), degree, "uniform")
    c = random_curves(old, degree)
    x = dense(-1, 1)
    before = values(c, x, old, degree)
    after = values(insert_knots(c, old, new, degree), x, new, degree)
    assert (after - before).abs().max() < 1e-12 * before.abs().max()


@pytest.mark.parametrize("degree", DEGREES)
def test_knot_insertion_gives_scipys_coefficients(degree: int) -> None:
    old_b = random_breakpoints(6, features=1)
    old = extend_breakpoints(old_b, degree)
    c = random_curves(old, degree, out=1)
    # Not in an end interval, so that the exterior knots stay.
    new_b = torch.cat([old_b, old_b[:, 2:4].mean(1, keepdim=True)], dim=1).sort(dim=1).values
    new = extend_breakpoints(new_b, degree)
    inserted = BSpline(old[0].numpy(), c[0, 0].numpy(), degree).insert_knot(
        float(old_b[0, 2:4].mean())
    )
    np.testing.assert_allclose(inserted.t, new[0].numpy(), atol=1e-14)
    ours = insert_knots(c, old, new, degree)[0, 0].numpy()
    np.testing.assert_allclose(ours, inserted.c[: len(ours)], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("degree", DEGREES)
def test_knot_insertion_and_projection_agree(degree: int) -> None:
    old_b = random_breakpoints(5)
    old, new = extend_breakpoints(old_b, degree), extend_breakpoints(with_more(old_b, 0.3), degree)
    c = random_curves(old, degree)
    torch.testing.assert_close(
        insert_knots(c, old, new, degree), project(c, old, new, degree), rtol=1e-9, atol=1e-9
    )


def test_knot_insertion_in_two_steps_is_insertion_in_one() -> None:
    b = random_breakpoints(4)
    first, second = with_more(b, 0.4), with_more(with_more(b, 0.4), 0.5)
    knots = [extend_breakpoints(each, 3) for each in (b, first, second)]
    c = random_curves(knots[0], 3)
    twice = insert_knots(insert_knots(c, knots[0], knots[1], 3), knots[1], knots[2], 3)
    torch.testing.assert_close(
        twice, insert_knots(c, knots[0], knots[2], 3), rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize("moved", [0, 2, 5])
def test_knot_insertion_refuses_breakpoints_that_moved(moved: int) -> None:
    old_b = random_breakpoints(5)
    new_b = with_more(old_b, 0.5)
    new_b[1, 2 * moved] += 1e-6
    old, new = extend_breakpoints(old_b, 3), extend_breakpoints(new_b, 3)
    with pytest.raises(ValueError, match="project"):
        insert_knots(random_curves(old, 3), old, new, 3)


def test_knot_insertion_refuses_widened_ends_and_fewer_breakpoints() -> None:
    old_b = random_breakpoints(5)
    old = extend_breakpoints(old_b, 3)
    wider = torch.cat([old_b[:, :1] - 1, old_b, old_b[:, -1:] + 1], dim=1)
    fewer = torch.cat([old_b[:, :2], old_b[:, 3:]], dim=1)
    for new_b in (wider, fewer):
        with pytest.raises(ValueError, match="project"):
            insert_knots(random_curves(old, 3), old, extend_breakpoints(new_b, 3), 3)


# -- the published refit on samples -------------------------------------------------------------


@pytest.mark.parametrize("outside", ["linear", "zero"])
@pytest.mark.parametrize("degree", DEGREES)
def test_refit_on_samples_is_numpys_least_squares(degree: int, outside: Outside) -> None:
    old = extend_breakpoints(random_breakpoints(5), degree, EXTERIOR[outside])
    new = extend_breakpoints(random_breakpoints(4, seed=2), degree, EXTERIOR[outside])
    c = random_curves(old, degree)
    x = torch.rand(400, 2, dtype=torch.float64) * 2 - 1
    ours = refit_on_samples(x, c, old, new, degree, outside)
    basis = bspline_basis(x, new, degree, outside=outside)
    target = values(c, x, old, degree, outside)
    for feature in range(2):
        expected = np.linalg.lstsq(basis[:, feature].numpy(), target[:, feature].numpy())[0]
        np.testing.assert_allclose(ours[:, feature].numpy().T, expected, rtol=1e-6, atol=1e-6)


def test_refit_on_samples_keeps_the_curve_on_finer_knots() -> None:
    old_b = random_breakpoints(5)
    old, new = extend_breakpoints(old_b, 3), extend_breakpoints(with_more(old_b, 0.5), 3)
    c = random_curves(old, 3)
    x = torch.rand(500, 2, dtype=torch.float64) * 2 - 1
    refitted = refit_on_samples(x, c, old, new, 3)
    torch.testing.assert_close(
        values(refitted, x, new, 3), values(c, x, old, 3), rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("n", [1, 2, 6])
@pytest.mark.parametrize("degree", [1, 3, 5])
def test_refit_on_fewer_samples_than_bases_is_finite_and_meets_the_samples(
    degree: int, n: int
) -> None:
    old = extend_breakpoints(random_breakpoints(3), degree)
    new = extend_breakpoints(random_breakpoints(12, seed=2), degree)
    c = random_curves(old, degree)
    x = torch.linspace(-0.9, 0.9, n, dtype=torch.float64).unsqueeze(1).repeat(1, 2)
    refitted = refit_on_samples(x, c, old, new, degree)
    assert torch.isfinite(refitted).all()
    torch.testing.assert_close(
        values(refitted, x, new, degree), values(c, x, old, degree), rtol=1e-6, atol=1e-6
    )


def test_bases_that_no_sample_touches_get_zero_coefficients() -> None:
    knots = extend_breakpoints(random_breakpoints(10), 3)
    x = torch.rand(100, 2, dtype=torch.float64) - 1  # the left half only
    refitted = refit_on_samples(x, random_curves(knots, 3), knots, knots, 3)
    touched = (bspline_basis(x, knots, 3) != 0).any(0)
    assert not touched.all()
    assert (refitted[:, ~touched] == 0).all()


def test_sample_a_hair_past_a_knot_does_not_spoil_the_other_coefficients() -> None:
    b = torch.linspace(-1, 1, 5, dtype=torch.float64)[None]
    knots = extend_breakpoints(b, 5)
    c = random_curves(knots, 5)
    # The last of the touched bases is (1e-33/step)^5/120 at the last sample: not quite zero.
    x = torch.cat([torch.linspace(-1, -0.01, 200, dtype=torch.float64), torch.tensor([1e-33])])
    refitted = refit_on_samples(x.unsqueeze(1), c, knots, knots, 5)
    inside = dense(-1, -0.01, 1)
    torch.testing.assert_close(
        values(refitted, inside, knots, 5), values(c, inside, knots, 5), rtol=1e-5, atol=1e-5
    )


def test_breakpoints_inside_knots_are_found_again() -> None:
    b = random_breakpoints(6)
    for degree in DEGREES:
        assert torch.equal(breakpoints_of(extend_breakpoints(b, degree), degree), b)


@pytest.mark.parametrize("grid_size", [4, 8, 12])
@pytest.mark.parametrize("refit", ["project", "insert"])
def test_splines_that_fade_outside_keep_their_curve_where_knots_are_added(
    refit: str, grid_size: int
) -> None:
    """A projection over both supports was 7e-2 away inside the grid."""
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        network = KANLayer(2, 3, grid_size=4, outside="zero", dtype=dtype)
        x = 2 * torch.rand(200, 2, dtype=dtype) - 1
        before = network(x).detach()
        old = network.exact_basis
        breakpoints = uniform_breakpoints(-torch.ones(2), torch.ones(2), grid_size)
        knots = network.knots_for(breakpoints)
        new = network.basis_on(knots)
        coefficients = network.coefficients.detach()
        network.set_grid(knots, getattr(new, refit)(coefficients, old), new)
        assert (network(x) - before).norm() < bound * before.norm()
