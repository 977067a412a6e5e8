"""The laws of every basis, and what makes each of kanlit's what it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kanlit.adaptation import InputDensity, Placement, adapt_grids
from kanlit.bases import (
    BASES,
    Basis,
    FourierBasis,
    SmoothBasis,
    basis_class,
    basis_name,
    spline_coefficients,
)
from kanlit.nn import KANLayer
from kanlit.splines import Outside, extend_breakpoints

DOUBLE = torch.float64


@dataclass(frozen=True)
class Powers(SmoothBasis):
    """1, t, t², … with t from -1 to 1 over the grid."""

    def formula(self, x: Tensor, derivative: int) -> Tensor:
        low, high = self.breakpoints[:, :1], self.breakpoints[:, -1:]
        rate = 2 / (high - low)
        t = (x - (low + high) / 2) * rate
        terms = [math.perm(m, derivative) * t ** max(m - derivative, 0) for m in range(self.count)]
        return rate**derivative * torch.stack(terms)


ALL: dict[str, type[Basis]] = {**BASES, "own": Powers}
every_basis = pytest.mark.parametrize("cls", ALL.values(), ids=ALL)
highest = 5  # order of the derivatives that are tried


def knots_of(breakpoints: Tensor, order: int = 3, outside: Outside = "linear") -> Tensor:
    return extend_breakpoints(breakpoints, order, "end" if outside == "linear" else "uniform")


def uneven(features: int = 2, grid_size: int = 5, seed: int = 0) -> Tensor:
    """Breakpoints ``(in, G+1)`` on [-1, 1.5] and the like."""
    generator = torch.Generator().manual_seed(seed)
    gaps = 0.3 + torch.rand(features, grid_size, generator=generator, dtype=DOUBLE)
    ends = torch.cat([torch.zeros(features, 1, dtype=DOUBLE), gaps.cumsum(1)], 1)
    width = 2.5 + 0.5 * torch.arange(features, dtype=DOUBLE).unsqueeze(1)
    return -1 + width * ends / ends[:, -1:]


def basis_of(cls: type[Basis], outside: Outside = "linear", order: int = 3) -> Basis:
    return cls.from_knots(knots_of(uneven(), order, outside), order, outside)


def points() -> Tensor:
    """``(n, 2)``, inside the grid and beyond both ends, on no knot."""
    return torch.linspace(-1.71, 2.63, 87, dtype=DOUBLE).unsqueeze(1).repeat(1, 2)


def inner_points(count: int = 50) -> Tensor:
    """``(n, 2)``, inside the grid of :func:`uneven`."""
    b = uneven()
    return torch.lerp(b[:, 0], b[:, -1], torch.linspace(0, 1, count, dtype=DOUBLE).unsqueeze(1))


def curve(basis: Basis, coefficients: Tensor, x: Tensor, derivative: int = 0) -> Tensor:
    return torch.einsum("oib,nib->noi", coefficients, basis.values(x, derivative))


# -- laws of every basis --------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 3, 5])
@every_basis
def test_it_has_as_many_functions_as_it_says(cls: type[Basis], order: int) -> None:
    basis = basis_of(cls, order=order)
    assert basis.count == cls.size(5, order) == 5 + order
    assert basis.values(points()).shape == (87, 2, basis.count)


@pytest.mark.parametrize("outside", ["linear", "zero"])
@every_basis
def test_derivatives_of_every_order_are_those_of_autograd(
    cls: type[Basis], outside: Outside
) -> None:
    basis = basis_of(cls, outside, order=5)
    x = points().requires_grad_()
    for order in range(highest):
        lower, upper = basis.values(x, order), basis.values(x, order + 1)
        scale = upper.detach().abs().max().clamp(min=1)
        for function in range(0, lower.shape[-1], 3):
            (slope,) = torch.autograd.grad(
                lower[..., function].sum(), x, retain_graph=True, allow_unused=True
            )
            slope = torch.zeros_like(x) if slope is None else slope
            assert (slope - upper[..., function]).abs().max() < 1e-9 * scale


@every_basis
def test_every_way_to_evaluate_gives_the_same(cls: type[Basis]) -> None:
    basis, x = basis_of(cls), points()
    coefficients = torch.randn(3, 2, basis.count, dtype=DOUBLE)
    orders = [0, 1, 2, 3, 4]
    place = basis.locate(x.T.contiguous())
    designs, curves = basis.designs(x, orders), basis.curves(coefficients, place, orders)
    for order in orders:
        values = basis.values(x, order)
        torch.testing.assert_close(designs[order], values)
        expected = torch.einsum("oib,nib->oin", coefficients, values)
        torch.testing.assert_close(curves[order], expected, rtol=1e-9, atol=1e-9)


@every_basis
def test_value_and_slope_go_on_outside_the_grid(cls: type[Basis]) -> None:
    basis, ends = basis_of(cls), uneven()[:, [0, -1]].T
    beyond = ends + torch.tensor([[-0.7], [0.7]], dtype=DOUBLE)
    if isinstance(basis, SmoothBasis) and not basis.continues_linearly:
        assert basis.values(beyond, 2).abs().max() > 0
        return
    expected = basis.values(ends) + basis.values(ends, 1) * (beyond - ends).unsqueeze(-1)
    torch.testing.assert_close(basis.values(beyond), expected, rtol=1e-9, atol=1e-9)
    assert basis.values(beyond, 2).abs().max() == 0


@every_basis
def test_another_dtype_gives_the_same_up_to_rounding(cls: type[Basis]) -> None:
    basis, x = basis_of(cls), points()
    torch.testing.assert_close(basis.values(x.float()), basis.values(x).float(), atol=5e-5, rtol=0)
    assert basis.cast(torch.float32).breakpoints.dtype == torch.float32


@pytest.mark.parametrize("refit", ["project", "insert", "fit_to_samples"])
@every_basis
def test_a_refit_keeps_a_curve_that_the_new_basis_holds(cls: type[Basis], refit: str) -> None:
    """Halved intervals hold all that whole ones do, but for bells, whose widths follow."""
    old = basis_of(cls)
    halved = torch.lerp(uneven()[:, :-1], uneven()[:, 1:], 0.5)
    finer = torch.cat([uneven(), halved], 1).sort(1).values
    if cls.__name__ == "RadialBasis":
        finer = uneven()
    new = cls.from_knots(knots_of(finer), 3, "linear")
    coefficients = torch.randn(3, 2, old.count, dtype=DOUBLE)
    samples = (inner_points(200),) if refit == "fit_to_samples" else ()
    fitted = getattr(new, refit)(coefficients, old, *samples)
    x = inner_points()
    for order in (0, 1):
        was = curve(old, coefficients, x, order)
        close = (curve(new, fitted, x, order) - was).abs().max() / was.abs().max()
        assert close < (1e-4 if refit == "fit_to_samples" else 1e-7)


def test_a_polynomial_is_the_same_in_splines_of_a_higher_degree() -> None:
    """Quadrature for the lower degree has too few nodes on one interval."""
    ends, cls = uneven()[:, [0, -1]], BASES["bspline"]
    old, new = (cls.from_knots(knots_of(ends, order), order, "linear") for order in (3, 5))
    coefficients, x = torch.randn(3, 2, old.count, dtype=DOUBLE), inner_points()
    raised = curve(new, new.project(coefficients, old), x)
    torch.testing.assert_close(raised, curve(old, coefficients, x), rtol=0, atol=1e-9)


@every_basis
def test_an_insertion_keeps_the_ends_and_leaves_the_curve_alone(cls: type[Basis]) -> None:
    layer = layer_of(cls)
    x = inner_points()
    before, ends = layer(x).detach(), layer.breakpoints[:, [0, -1]]
    adapt_grids(layer, x, InputDensity(), 11, placement=Placement(extension="insert"))
    assert layer.grid_size == 11
    assert torch.equal(layer.breakpoints[:, [0, -1]], ends)
    bound = 1e-2 if cls.__name__ == "RadialBasis" else 1e-9
    assert (layer(x) - before).norm() < bound * before.norm()


@pytest.mark.parametrize("outside", ["linear", "zero"])
@every_basis
def test_samples_that_are_not_finite_are_refused(cls: type[Basis], outside: Outside) -> None:
    layer = KANLayer(2, 3, basis=cls, outside=outside)
    state = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    for bad in (math.nan, math.inf):
        x = 2 * torch.rand(40, 2) - 1
        x[7, 1] = bad
        for grid_size in (3, 6):
            for placement in (Placement(), Placement(extension="insert")):
                with pytest.raises(ValueError, match="NaN or infinite"):
                    adapt_grids(layer, x, InputDensity(), grid_size, placement=placement)
    assert all(torch.equal(layer.state_dict()[name], state[name]) for name in state)


@every_basis
def test_optimizer_moments_follow_functions_that_stay(cls: type[Basis]) -> None:
    old, same = basis_of(cls), basis_of(cls)
    assert torch.equal(same.predecessors(old), torch.arange(old.count).expand(2, -1))
    finer = cls.from_knots(knots_of(uneven(grid_size=12)), 3, "linear").predecessors(old)
    assert finer.shape == (2, 15)
    assert bool((finer.diff(dim=1) >= 0).all())
    assert finer.min() == 0
    assert finer.max() == old.count - 1


@every_basis
def test_quadrature_is_exact_for_the_squared_second_derivative(cls: type[Basis]) -> None:
    basis = basis_of(cls)
    x, weight = basis.quadrature(derivative=2)
    fine = torch.lerp(
        uneven()[:, :1],
        uneven()[:, -1:],
        (torch.arange(40000, dtype=DOUBLE) + 0.5) / 40000,
    )
    step = (uneven()[:, -1:] - uneven()[:, :1]) / 40000
    found = (basis.values(x.T, 2).square() * weight.T.unsqueeze(-1)).sum(0)
    expected = (basis.values(fine.T, 2).square() * step.T.unsqueeze(-1)).sum(0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


# -- laws of a layer of every basis ---------------------------------------------------------


def layer_of(cls: type[Basis], seed: int = 0) -> KANLayer:
    generator = torch.Generator().manual_seed(seed)
    layer = KANLayer(2, 3, grid_size=5, basis=cls, generator=generator, dtype=DOUBLE)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(generator=generator)
    layer.set_grid(layer.knots_for(uneven()), layer.coefficients.detach())
    return layer


@every_basis
def test_edge_functions_have_derivatives_of_every_order(cls: type[Basis]) -> None:
    layer = layer_of(cls)
    x = points().requires_grad_()
    scaled = layer.edge_scale.unsqueeze(-1) * layer.coefficients
    expected = curve(layer.exact_basis, scaled, x) + F.silu(x).unsqueeze(1) * layer.base_weight
    torch.testing.assert_close(layer.edge_functions(x), expected.transpose(1, 2))
    for order in range(4):
        lower = layer.edge_functions(x, order)[..., 1]
        upper = layer.edge_functions(x, order + 1)[..., 1]
        (slope,) = torch.autograd.grad(lower.sum(), x)
        assert (slope - upper).abs().max() < 1e-9 * upper.abs().max().clamp(min=1)


# -- B-splines ------------------------------------------------------------------------------


def test_b_splines_need_a_degree_above_the_derivative_and_other_bases_do_not() -> None:
    assert [BASES["bspline"].lowest_order(n) for n in (0, 1, 2, 4)] == [1, 2, 3, 5]
    assert BASES["bspline"].lowest_order(2, continuous=False) == 2
    assert all(cls.lowest_order(4) == 1 for name, cls in ALL.items() if name != "bspline")


# -- Gaussians ------------------------------------------------------------------------------


def test_bells_are_one_at_their_centre_and_reach_to_their_neighbours() -> None:
    even = torch.linspace(-1, 1, 9, dtype=DOUBLE).unsqueeze(0)
    basis = BASES["radial"].from_knots(knots_of(even), 3, "linear")
    at = basis.values(even.T)[:, 0]  # centres of the inner bells are the breakpoints
    inner = at[:, 1:-1]
    torch.testing.assert_close(inner.diagonal(), torch.ones(9, dtype=DOUBLE))
    neighbour = torch.full((8,), math.exp(-4 / 9), dtype=DOUBLE)
    torch.testing.assert_close(inner.diagonal(1), neighbour)


def test_bells_stand_closer_and_are_narrower_where_knots_are() -> None:
    dense_left = torch.tensor([[-1.0, -0.9, -0.8, -0.6, -0.2, 1.0]], dtype=DOUBLE)
    basis = BASES["radial"].from_knots(knots_of(dense_left), 3, "linear")
    x = torch.tensor([[-0.9], [0.5]], dtype=DOUBLE)
    slope = basis.values(x, 1)[:, 0].abs().amax(1)
    assert slope[0] > 5 * slope[1]


@pytest.mark.parametrize("name", ["bspline", "radial"])
def test_functions_fade_where_they_are_to(name: str) -> None:
    far = torch.full((1, 2), 40.0, dtype=DOUBLE)
    assert basis_of(BASES[name], "zero").values(far).abs().max() == 0
    assert basis_of(BASES[name], "linear").values(far).abs().max() > 1


def test_bells_that_move_are_fitted_as_well_as_they_can_be() -> None:
    x = torch.linspace(-1, 1, 400, dtype=DOUBLE).unsqueeze(1)
    bells_on = BASES["radial"].from_knots
    coarse = bells_on(knots_of(torch.linspace(-1, 1, 7).double()[None]), 3, "linear")
    coefficients = torch.sin(torch.arange(9, dtype=DOUBLE)).view(1, 1, 9)
    target = coarse.values(x)[:, 0] @ coefficients[0, 0]
    for grid_size in (4, 6, 12, 24):
        finer = uneven(1, grid_size)
        new = bells_on(knots_of(-1 + 2 * (finer + 1) / 2.5), 3, "linear")
        bells = new.values(x)[:, 0]
        fitted = new.project(coefficients, coarse)[0, 0]
        nearest = torch.linalg.lstsq(bells, target).solution
        error, least = ((bells @ c - target).norm() / target.norm() for c in (fitted, nearest))
        assert least <= error < 1.2 * least
        assert grid_size < 6 or error < 5e-3


# -- series ---------------------------------------------------------------------------------


def test_chebyshev_polynomials_are_numpy_s() -> None:
    values = basis_of(BASES["chebyshev"]).values(inner_points(33))[:, 0]
    expected = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, 33), 7)
    np.testing.assert_allclose(values, expected, atol=1e-12)


def test_a_polynomial_on_another_interval_is_the_same_polynomial() -> None:
    old = basis_of(BASES["chebyshev"])
    narrower = -0.5 + 2 * torch.linspace(0, 1, 6, dtype=DOUBLE).repeat(2, 1)
    new = BASES["chebyshev"].from_knots(knots_of(narrower), 3, "linear")
    coefficients = torch.randn(3, 2, 8, dtype=DOUBLE)
    x = torch.linspace(-0.5, 1.5, 50, dtype=DOUBLE).unsqueeze(1).repeat(1, 2)
    fitted = new.project(coefficients, old)
    torch.testing.assert_close(curve(new, fitted, x), curve(old, coefficients, x))


def test_fourier_terms_have_twice_the_grid_as_their_period() -> None:
    basis, x = basis_of(FourierBasis), points()
    period = 2 * (uneven()[:, -1] - uneven()[:, 0])
    torch.testing.assert_close(basis.values(x + period), basis.values(x))
    apart = basis.values(x + period / 2)[..., 1] - basis.values(x)[..., 1]
    assert apart.abs().max() > 1


def test_fewer_terms_of_a_series_are_its_first() -> None:
    new = FourierBasis.from_knots(knots_of(uneven()[:, [0, 2, 5]]), 3, "linear")
    coefficients = torch.randn(3, 2, 8)
    assert torch.equal(new.project(coefficients, basis_of(FourierBasis)), coefficients[..., :5])


# -- names ----------------------------------------------------------------------------------


def test_a_name_stands_for_a_class_that_is_imported_and_imports_none() -> None:
    for name, cls in BASES.items():
        assert basis_class(name) is basis_class(cls) is cls
        assert basis_name(cls) == name
    assert basis_name(Powers) == f"{__name__}.Powers"
    assert basis_class(f"{__name__}.Powers") is Powers
    for wrong in ("wavelet", "antigravity.Basis", Basis, SmoothBasis, dict, 3):
        with pytest.raises(ValueError, match="must be one of bspline, radial, chebyshev, fourier"):
            basis_class(wrong)  # type: ignore[arg-type]


@every_basis
def test_curves_of_every_basis_have_nearest_splines(cls: type[Basis]) -> None:
    basis, knots = basis_of(cls), knots_of(uneven())
    coefficients = torch.randn(3, 2, basis.count, dtype=DOUBLE)
    splines = spline_coefficients(coefficients, basis, knots, 3)
    if cls is BASES["bspline"]:
        assert splines is coefficients
    x = inner_points()
    difference = curve(basis_of(BASES["bspline"]), splines, x) - curve(basis, coefficients, x)
    assert difference.norm() < 0.6 * curve(basis, coefficients, x).norm()
