"""The bases are the B-splines of the books, and go on outside the grid as promised."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch import Tensor

from kanlit.splines import (
    Exterior,
    Outside,
    Pieces,
    breakpoints_of,
    bspline_basis,
    extend_breakpoints,
)

DEGREES = (1, 2, 3, 4, 5)
GRID_SIZES = (1, 2, 7, 40)


def random_knots(
    degree: int, grid_size: int, features: int = 2, exterior: Exterior = "end", seed: int = 0
) -> Tensor:
    """Knots with uneven gaps, the narrowest some hundredth of the widest."""
    generator = torch.Generator().manual_seed(seed)
    gaps = 0.02 + torch.rand(features, grid_size, generator=generator, dtype=torch.float64) ** 2
    start = torch.full((features, 1), -1.3, dtype=torch.float64)
    return extend_breakpoints(torch.cat([start, start + gaps.cumsum(1)], 1), degree, exterior)


def points_inside(knots: Tensor, degree: int, count: int = 60) -> Tensor:
    """``(n, in)``: random points of the grid, every breakpoint and so both ends."""
    breakpoints = breakpoints_of(knots, degree)
    low, high = breakpoints[:, :1], breakpoints[:, -1:]
    generator = torch.Generator().manual_seed(1)
    share = torch.rand(knots.shape[0], count, generator=generator, dtype=torch.float64)
    inside = torch.lerp(low, high, share.to(knots.dtype))
    return torch.cat([inside, breakpoints], dim=1).T


def scipy_bases(x: Tensor, knots: Tensor, degree: int, derivative: int) -> Tensor:
    """The same as ``bspline_basis`` inside the grid, by scipy in float64: ``(n, in, G+k)``."""
    columns = []
    for feature in range(knots.shape[0]):
        t = knots[feature].double().numpy()
        spline = BSpline(t, np.eye(len(t) - degree - 1), degree)
        columns.append(spline(x[:, feature].double().numpy(), nu=derivative))
    return torch.from_numpy(np.stack(columns, axis=1))


def relative_error(value: Tensor, expected: Tensor) -> float:
    """Largest error at a point, by the largest basis at that point."""
    size = expected.abs().amax(-1)
    size = torch.where(size > 0, size, 1.0)
    return float(((value.double() - expected).abs().amax(-1) / size).max())


@pytest.mark.parametrize("derivative", [0, 1, 2])
@pytest.mark.parametrize("grid_size", GRID_SIZES)
@pytest.mark.parametrize("degree", DEGREES)
def test_bases_and_derivatives_agree_with_scipy(
    degree: int, grid_size: int, derivative: int
) -> None:
    knots = random_knots(degree, grid_size)
    x = points_inside(knots, degree)
    ours = bspline_basis(x, knots, degree, derivative)
    assert ours.shape == (len(x), 2, grid_size + degree)
    if derivative > degree:
        assert (ours == 0).all()
        return
    assert relative_error(ours, scipy_bases(x, knots, degree, derivative)) < 1e-12


@pytest.mark.parametrize("derivative", [0, 1, 2])
@pytest.mark.parametrize("grid_size", GRID_SIZES)
@pytest.mark.parametrize("degree", DEGREES)
def test_bases_in_float32_agree_with_scipy_to_float32(
    degree: int, grid_size: int, derivative: int
) -> None:
    knots = random_knots(degree, grid_size).float()
    x = points_inside(knots, degree)
    ours = bspline_basis(x, knots, degree, derivative)
    assert ours.dtype == torch.float32
    expected = scipy_bases(x, knots, degree, derivative)
    size = expected.abs().amax((0, 2), keepdim=True).clamp(min=1e-300)
    assert ((ours - expected).abs() / size).max() < 1e-5


@pytest.mark.parametrize("outside", ["linear", "zero"])
@pytest.mark.parametrize("exterior", ["end", "uniform"])
@pytest.mark.parametrize("degree", DEGREES)
def test_bases_sum_to_one_inside_the_grid_and_are_not_negative(
    degree: int, exterior: Exterior, outside: Outside
) -> None:
    knots = random_knots(degree, 7, exterior=exterior)
    values = bspline_basis(points_inside(knots, degree), knots, degree, outside=outside)
    torch.testing.assert_close(values.sum(-1), torch.ones_like(values[..., 0]), atol=1e-14, rtol=0)
    assert values.min() > -1e-15


@pytest.mark.parametrize("degree", DEGREES)
def test_no_more_than_degree_plus_one_bases_differ_from_zero(degree: int) -> None:
    knots = random_knots(degree, 7)
    values = bspline_basis(points_inside(knots, degree), knots, degree)
    assert int((values != 0).sum(-1).max()) <= degree + 1


@pytest.mark.parametrize("grid_size", GRID_SIZES)
@pytest.mark.parametrize("degree", DEGREES)
def test_linear_continuation_goes_on_by_value_and_slope_at_the_ends(
    degree: int, grid_size: int
) -> None:
    knots = random_knots(degree, grid_size)
    breakpoints = breakpoints_of(knots, degree)
    for end, sign in ((breakpoints[:, 0], -1.0), (breakpoints[:, -1], 1.0)):
        value = scipy_bases(end.unsqueeze(0), knots, degree, 0)
        slope = scipy_bases(end.unsqueeze(0), knots, degree, 1)
        step = sign * torch.tensor([1e-9, 0.1, 1.0, 30.0], dtype=torch.float64).unsqueeze(1)
        x = end + step
        expected = value + slope * (x - end).unsqueeze(-1)
        ours = bspline_basis(x, knots, degree)
        assert relative_error(ours, expected) < 1e-12
        torch.testing.assert_close(
            bspline_basis(x, knots, degree, 1), slope.expand_as(ours), rtol=1e-12, atol=1e-12
        )
        assert (bspline_basis(x, knots, degree, 2) == 0).all()


@pytest.mark.parametrize("derivative", [0, 1, 2])
@pytest.mark.parametrize("grid_size", GRID_SIZES)
@pytest.mark.parametrize("degree", DEGREES)
def test_fading_bases_agree_with_scipy_over_the_exterior_knots(
    degree: int, grid_size: int, derivative: int
) -> None:
    knots = random_knots(degree, grid_size, features=1, exterior="uniform")
    t = knots[0].numpy()
    # Inside each interval: at a knot the highest derivatives jump.
    share = np.array([0.03, 0.4, 0.9])
    x = (t[:-1, None] + np.diff(t)[:, None] * share).ravel()
    x = np.concatenate([[t[0] - 5.0, t[0] - 1e-9], x, [t[-1] + 1e-9, t[-1] + 5.0]])
    expected = np.zeros((len(x), grid_size + degree))
    for i in range(grid_size + degree):
        if derivative <= degree:
            element = BSpline.basis_element(t[i : i + degree + 2], extrapolate=False)
            expected[:, i] = np.nan_to_num(element(x, nu=derivative))
    ours = bspline_basis(
        torch.from_numpy(x).unsqueeze(1), knots, degree, derivative, outside="zero"
    )[:, 0]
    # By each basis's own largest value: towards the outer ends all bases fade.
    size = np.abs(expected).max(0).clip(min=1e-300)
    assert (np.abs(ours.numpy() - expected) / size).max() < 1e-12
    assert (ours[[0, 1, -2, -1]] == 0).all()


def test_fading_bases_do_not_depend_on_how_the_recursion_is_padded() -> None:
    # One interval and degree 5: more bases are cut off at the ends than stay.
    knots = random_knots(5, 1, exterior="uniform")
    x = points_inside(knots, 5)
    torch.testing.assert_close(
        bspline_basis(x, knots, 5, outside="zero"),
        bspline_basis(x, knots, 5, outside="linear"),
        rtol=1e-12,
        atol=1e-14,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("right_end", [0.0, 1.0, -3.7, 1e6])
@pytest.mark.parametrize("degree", DEGREES)
def test_right_end_belongs_to_the_last_interval(
    degree: int, right_end: float, dtype: torch.dtype
) -> None:
    gaps = torch.tensor([[1.0, 0.5, 2.0]], dtype=torch.float64)
    breakpoints = right_end - torch.cat([gaps, torch.zeros(1, 1)], 1).flip(1).cumsum(1).flip(1)
    knots = extend_breakpoints(breakpoints, degree).to(dtype)
    end = breakpoints_of(knots, degree)[:, -1:]
    for derivative in range(degree + 1):
        at_end = bspline_basis(end, knots, degree, derivative)
        expected = scipy_bases(end, knots, degree, derivative)  # scipy: the limit from the left
        tolerance = 1e-12 if dtype == torch.float64 else 1e-5
        assert relative_error(at_end, expected) < tolerance
        if derivative == degree:
            assert at_end.abs().max() > 0  # the right limit would be the affine piece's zero


@pytest.mark.parametrize("outside", ["linear", "zero"])
def test_points_a_million_widths_away_stay_finite_in_float32(outside: Outside) -> None:
    exterior: Exterior = "end" if outside == "linear" else "uniform"
    knots = random_knots(5, 7, exterior=exterior).float()
    width = knots[:, -1] - knots[:, 0]
    x = torch.stack([knots[:, 0] - 1e6 * width, knots[:, -1] + 1e6 * width]).requires_grad_()
    for derivative in range(3):
        values = bspline_basis(x, knots, 5, derivative, outside)
        assert torch.isfinite(values).all()
        (slope,) = torch.autograd.grad(values.sum(), x)
        assert torch.isfinite(slope).all()


def test_each_feature_has_its_own_knots() -> None:
    knots = torch.cat([random_knots(3, 5, 1, seed=2), 10 + 3 * random_knots(3, 5, 1, seed=3)])
    x = points_inside(knots, 3)
    together = bspline_basis(x, knots, 3)
    for feature in range(2):
        alone = bspline_basis(x[:, [feature]], knots[[feature]], 3)
        torch.testing.assert_close(together[:, [feature]], alone, rtol=0, atol=0)


def test_pieces_meet_smoothly_at_every_breakpoint() -> None:
    degree = 4
    knots = random_knots(degree, 6, features=1)
    pieces = Pieces.from_knots(knots, degree, "linear")
    breakpoints = breakpoints_of(knots, degree)
    for derivative in range(degree):  # a spline of degree k has k-1 continuous derivatives
        inner = breakpoints[:, 1:-1]
        right = bspline_basis(inner.T, knots, degree, derivative)
        left = bspline_basis(torch.nextafter(inner, inner - 1).T, knots, degree, derivative)
        size = right.abs().max()
        assert (left - right).abs().max() < 1e-12 * size
    assert pieces.polynomials.shape == (1, 6 + 2, degree + 1, degree + 1)
