"""Every basis is its formula, its derivatives are exact, and a curve survives a new grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from kanlit.bases import FAMILIES, Family, FourierBasis, make_basis, project_curves
from kanlit.splines import Basis, Outside, extend_breakpoints

SMOOTH: tuple[Family, ...] = ("radial", "chebyshev", "fourier")
each_family = pytest.mark.parametrize("family", SMOOTH)


def knots_of(breakpoints: Tensor, order: int = 3) -> Tensor:
    return extend_breakpoints(breakpoints, order)


def uneven(features: int = 2, grid_size: int = 5, seed: int = 0) -> Tensor:
    """Breakpoints ``(in, G+1)`` on [-1, 1.5] and the like."""
    generator = torch.Generator().manual_seed(seed)
    gaps = 0.3 + torch.rand(features, grid_size, generator=generator, dtype=torch.float64)
    ends = torch.cat([torch.zeros(features, 1, dtype=torch.float64), gaps.cumsum(1)], 1)
    width = 2.5 + 0.5 * torch.arange(features, dtype=torch.float64).unsqueeze(1)
    return -1 + width * ends / ends[:, -1:]


def basis_of(family: Family, outside: Outside = "linear", order: int = 3) -> Basis:
    return make_basis(family, knots_of(uneven(), order), order, outside)


def points() -> Tensor:
    """``(n, 2)``, inside the grid and beyond both ends."""
    return torch.linspace(-1.7, 2.6, 87, dtype=torch.float64).unsqueeze(1).repeat(1, 2)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_as_many_functions_as_splines(family: Family, order: int) -> None:
    assert basis_of(family, order=order).values(points()).shape == (87, 2, 5 + order)


def test_chebyshev_polynomials_are_numpy_s() -> None:
    breakpoints = uneven()
    x = breakpoints[0, 0] + (breakpoints[0, -1] - breakpoints[0, 0]) * torch.linspace(0, 1, 33)
    t = np.linspace(-1, 1, 33)
    values = basis_of("chebyshev").values(x.double().unsqueeze(1).repeat(1, 2))[:, 0]
    expected = np.polynomial.chebyshev.chebvander(t, 7)
    np.testing.assert_allclose(values, expected, atol=1e-6)  # x is linspace's, in float32


def test_fourier_terms_have_twice_the_grid_as_their_period() -> None:
    basis, x = basis_of("fourier"), points()
    period = 2 * (uneven()[:, -1] - uneven()[:, 0])
    torch.testing.assert_close(basis.values(x + period), basis.values(x))
    apart = basis.values(x + period / 2)[..., 1] - basis.values(x)[..., 1]
    assert apart.abs().max() > 1


def test_bells_are_one_at_their_centre_and_reach_to_their_neighbours() -> None:
    even = torch.linspace(-1, 1, 9, dtype=torch.float64).unsqueeze(0)
    basis = make_basis("radial", knots_of(even), 3, "linear")
    at = basis.values(even.T)[:, 0]  # centres of the inner bells are the breakpoints
    inner = at[:, 1:-1]
    torch.testing.assert_close(inner.diagonal(), torch.ones(9, dtype=torch.float64))
    neighbour = torch.full((8,), math.exp(-4 / 9), dtype=torch.float64)
    torch.testing.assert_close(inner.diagonal(1), neighbour)


def test_bells_stand_closer_and_are_narrower_where_knots_are() -> None:
    dense_left = torch.tensor([[-1.0, -0.9, -0.8, -0.6, -0.2, 1.0]], dtype=torch.float64)
    basis = make_basis("radial", knots_of(dense_left), 3, "linear")
    x = torch.tensor([[-0.9], [0.5]], dtype=torch.float64)
    slope = basis.values(x, 1)[:, 0].abs().amax(1)
    assert slope[0] > 5 * slope[1]


@pytest.mark.parametrize("outside", ["linear", "zero"])
@each_family
def test_derivatives_are_those_of_autograd(family: Family, outside: Outside) -> None:
    basis = basis_of(family, outside)
    x = points().requires_grad_()
    for order in (0, 1):
        lower, upper = basis.values(x, order), basis.values(x, order + 1)
        for function in range(lower.shape[-1]):
            (slope,) = torch.autograd.grad(lower[..., function].sum(), x, retain_graph=True)
            torch.testing.assert_close(slope, upper[..., function], rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("family", ["radial", "chebyshev"])
def test_value_and_slope_go_on_outside_the_grid(family: Family) -> None:
    basis, ends = basis_of(family), uneven()[:, [0, -1]].T
    beyond = ends + torch.tensor([[-0.7], [0.7]], dtype=torch.float64)
    expected = basis.values(ends) + basis.values(ends, 1) * (beyond - ends).unsqueeze(-1)
    torch.testing.assert_close(basis.values(beyond), expected, rtol=1e-9, atol=1e-9)
    assert basis.values(beyond, 2).abs().max() == 0


def test_bells_fade_where_they_are_to() -> None:
    far = torch.full((1, 2), 40.0, dtype=torch.float64)
    assert basis_of("radial", "zero").values(far).abs().max() == 0
    assert basis_of("radial", "linear").values(far).abs().max() > 1


@each_family
def test_another_type_gives_the_same_up_to_rounding(family: Family) -> None:
    basis, x = basis_of(family), points()
    torch.testing.assert_close(basis.values(x.float()), basis.values(x).float(), atol=2e-5, rtol=0)
    assert basis.cast(torch.float32).breakpoints.dtype == torch.float32


@each_family
def test_the_same_grid_keeps_the_coefficients(family: Family) -> None:
    basis, coefficients = basis_of(family), torch.randn(3, 2, 8, dtype=torch.float64)
    torch.testing.assert_close(
        project_curves(coefficients, basis, basis), coefficients, rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("grid_size", [6, 12, 40])
@pytest.mark.parametrize("family", ["chebyshev", "fourier"])
def test_more_terms_keep_the_curve(family: Family, grid_size: int) -> None:
    old = basis_of(family)
    more = torch.linspace(0, 1, grid_size + 1, dtype=torch.float64)
    ends = uneven()[:, [0, -1]]
    new = make_basis(family, knots_of(torch.lerp(ends[:, :1], ends[:, 1:], more)), 3, "linear")
    coefficients = torch.randn(3, 2, 8, dtype=torch.float64)
    fitted = project_curves(coefficients, old, new)
    for order in (0, 1, 2):
        torch.testing.assert_close(
            torch.einsum("oib,nib->noi", fitted, new.values(points(), order)),
            torch.einsum("oib,nib->noi", coefficients, old.values(points(), order)),
            rtol=1e-7,
            atol=1e-7,
        )


def test_a_polynomial_on_another_interval_is_the_same_polynomial() -> None:
    old = basis_of("chebyshev")
    narrower = -0.5 + 2 * torch.linspace(0, 1, 6, dtype=torch.float64).repeat(2, 1)
    new = make_basis("chebyshev", knots_of(narrower), 3, "linear")
    coefficients = torch.randn(3, 2, 8, dtype=torch.float64)
    fitted = project_curves(coefficients, old, new)
    x = torch.linspace(-0.5, 1.5, 50, dtype=torch.float64).unsqueeze(1).repeat(1, 2)
    torch.testing.assert_close(
        torch.einsum("oib,nib->noi", fitted, new.values(x)),
        torch.einsum("oib,nib->noi", coefficients, old.values(x)),
    )


def test_bells_that_move_are_fitted_as_well_as_they_can_be() -> None:
    x = torch.linspace(-1, 1, 400, dtype=torch.float64).unsqueeze(1)
    coarse = make_basis("radial", knots_of(torch.linspace(-1, 1, 7).double()[None]), 3, "linear")
    coefficients = torch.sin(torch.arange(9, dtype=torch.float64)).view(1, 1, 9)
    curve = coarse.values(x)[:, 0] @ coefficients[0, 0]
    for grid_size in (4, 6, 12, 24):
        finer = uneven(1, grid_size)
        new = make_basis("radial", knots_of(-1 + 2 * (finer + 1) / 2.5), 3, "linear")
        bells = new.values(x)[:, 0]
        fitted = project_curves(coefficients, coarse, new)[0, 0]
        nearest = torch.linalg.lstsq(bells, curve).solution
        error, least = ((bells @ c - curve).norm() / curve.norm() for c in (fitted, nearest))
        assert least <= error < 1.2 * least
        assert grid_size < 6 or error < 5e-3


def test_fewer_terms_of_a_series_are_its_first() -> None:
    old = basis_of("fourier")
    new = make_basis("fourier", knots_of(uneven()[:, [0, 2, 5]]), 3, "linear")
    assert isinstance(new, FourierBasis)
    coefficients = torch.randn(3, 2, 8)
    assert torch.equal(project_curves(coefficients, old, new), coefficients[..., :5])


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of bspline, radial, chebyshev, fourier"):
        make_basis("wavelet", knots_of(uneven()), 3, "linear")  # type: ignore[arg-type]
