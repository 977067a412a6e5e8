"""Every density weighs samples by what it says: the laws of the kind."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from kanlit.adaptation import (
    AdaptationReport,
    BlendedDensity,
    CurvatureDensity,
    DeBoorDensity,
    ErrorDensity,
    GradientDensity,
    ImportanceContext,
    ImportanceDensity,
    InputDensity,
    LossDensity,
    adapt_grids,
)
from kanlit.adaptation.density import derivatives
from kanlit.nn import KAN, KANLayer
from kanlit.splines import bspline_basis

# A new density joins this list and must meet every law of this file.
DENSITIES: dict[str, Callable[[], ImportanceDensity]] = {
    "input": InputDensity,
    "network curvature": lambda: CurvatureDensity(power=1),
    "network curvature, tempered": CurvatureDensity,
    "network curvature by differences": lambda: CurvatureDensity(method="finite_difference"),
    "layer curvature": lambda: CurvatureDensity("layer"),
    "layer curvature by differences": lambda: CurvatureDensity("layer", "finite_difference"),
    "network gradient": GradientDensity,
    "layer gradient": lambda: GradientDensity("layer"),
    "loss": LossDensity,
    "de Boor": DeBoorDensity,
    "error": ErrorDensity,
    "blend of network scope": lambda: BlendedDensity([InputDensity(), LossDensity()], [1, 3]),
    "blend of both scopes": lambda: BlendedDensity(
        [CurvatureDensity("layer"), LossDensity(), BlendedDensity([DeBoorDensity()])]
    ),
}


each_density = pytest.mark.parametrize("make", DENSITIES.values(), ids=DENSITIES.keys())
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["32", "64"])


def points(count: int = 40, n_in: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    """``(n, in)`` on [-1.2, 1.2]: a few lie outside the first grid."""
    generator = torch.Generator().manual_seed(3)
    return 2.4 * torch.rand(count, n_in, generator=generator, dtype=dtype) - 1.2


def losses_at(x: Tensor) -> Tensor:
    """Losses of samples ``(n, d)``, as a module would give them: ``(n,)``."""
    return (x.square() + 0.1).prod(1)


def context_of(network: nn.Module, x: Tensor) -> ImportanceContext:
    """The context of the network's first KAN layer."""
    layer = next(m for m in network.modules() if isinstance(m, KANLayer))
    with torch.no_grad():
        layer_input = torch.tanh(network.lift(x)) if hasattr(network, "lift") else x
    return ImportanceContext(layer, layer_input, network, x, losses_at(x))


def adapt(
    network: nn.Module, x: Tensor, density: ImportanceDensity, grid_size: int = 6
) -> AdaptationReport:
    return adapt_grids(network, x, density, grid_size, sample_losses=losses_at(x))


# -- laws of every density ----------------------------------------------------------------------


@each_dtype
@each_density
def test_weights_are_finite_not_negative_and_one_for_each_sample(
    make: Callable[[], ImportanceDensity],
    network: Callable[[torch.dtype], nn.Module],
    dtype: torch.dtype,
) -> None:
    context = context_of(network(dtype), points(dtype=dtype))
    weights = make()(context)
    assert tuple(weights.shape) in {(40,), tuple(context.layer_input.shape)}
    assert weights.dtype == dtype
    assert torch.isfinite(weights).all()
    assert (weights >= 0).all()
    assert not weights.requires_grad


@each_density
def test_weights_follow_their_samples_into_any_order(
    make: Callable[[], ImportanceDensity], network: Callable[[torch.dtype], nn.Module]
) -> None:
    whole = network(torch.float64)
    x, order = points(), torch.randperm(40)
    weights = make()(context_of(whole, x))
    permuted = make()(context_of(whole, x[order]))
    torch.testing.assert_close(permuted, weights[order], rtol=1e-6, atol=1e-8)


@each_density
def test_weights_do_not_depend_on_how_many_samples_are_evaluated_at_once(
    make: Callable[[], ImportanceDensity],
    network: Callable[[torch.dtype], nn.Module],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = context_of(network(torch.float64), points())
    whole = make()(context)
    monkeypatch.setattr(derivatives, "CHUNK", 7)
    torch.testing.assert_close(make()(context), whole, rtol=1e-6, atol=1e-8)


@each_density
def test_a_density_only_looks(
    make: Callable[[], ImportanceDensity], network: Callable[[torch.dtype], nn.Module]
) -> None:
    whole = network(torch.float64).train()
    x = points()
    before, inputs = copy.deepcopy(whole.state_dict()), x.clone()
    generator = torch.get_rng_state()
    make()(context_of(whole, x))
    assert all(torch.equal(v, before[k]) for k, v in whole.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in whole.parameters())
    assert torch.equal(x, inputs)
    assert not x.requires_grad
    assert whole.training
    assert torch.equal(torch.get_rng_state(), generator)


@each_density
def test_a_density_works_where_no_gradient_is_recorded(
    make: Callable[[], ImportanceDensity], network: Callable[[torch.dtype], nn.Module]
) -> None:
    context = context_of(network(torch.float64), points())
    expected = make()(context)
    with torch.no_grad():
        torch.testing.assert_close(make()(context), expected, rtol=0, atol=0)


@each_density
def test_every_density_adapts_a_network(
    make: Callable[[], ImportanceDensity], network: Callable[[torch.dtype], nn.Module]
) -> None:
    whole = network(torch.float32)
    report = adapt(whole, points(200, dtype=torch.float32), make(), 7)
    assert report.grid_size == 7
    for adapted in report.layers:
        assert (adapted.new_breakpoints.diff(dim=1) > 0).all()


@each_density
def test_a_network_that_fits_is_accepted_before_training(
    make: Callable[[], ImportanceDensity], network: Callable[[torch.dtype], nn.Module]
) -> None:
    make().check(network(torch.float64))


# -- equal weights ------------------------------------------------------------------------------


class Constant(ImportanceDensity):
    def __init__(self, value: float, per_feature: bool) -> None:
        self.value = value
        self.per_feature = per_feature

    def __call__(self, context: ImportanceContext) -> Tensor:
        x = context.layer_input if self.per_feature else context.layer_input[:, 0]
        return torch.full_like(x, self.value)


@pytest.mark.parametrize("per_feature", [False, True])
@pytest.mark.parametrize("value", [0.0, 1e-30, 0.3, 1.0, 7.0, 1e30])
def test_equal_weights_of_any_size_place_the_knots_of_the_input_density(
    value: float, per_feature: bool, make_kan: Callable[..., KAN]
) -> None:
    networks = [make_kan(torch.float32) for _ in range(2)]
    x = points(100, dtype=torch.float32)
    adapt(networks[0], x, InputDensity())
    adapt(networks[1], x, Constant(value, per_feature))
    for one, two in zip(*(n.state_dict().items() for n in networks), strict=True):
        assert torch.equal(one[1], two[1]), one[0]


# -- what the laws of approximation ask of every density ----------------------------------------


def spline_of(f: Callable[[Tensor], Tensor], grid_size: int, degree: int = 3) -> KAN:
    """A KAN of one edge that is the least-squares spline of f on [-1, 1], without base branch."""
    network = KAN([1, 1], grid_size=grid_size, spline_order=degree, dtype=torch.float64)
    (layer,) = network.layers
    x = torch.linspace(-1, 1, 20 * grid_size + 1, dtype=torch.float64).unsqueeze(1)
    bases = bspline_basis(x, layer.knots, degree)[:, 0]
    fitted = torch.linalg.lstsq(bases, f(x)).solution
    with torch.no_grad():
        layer.edge_scale.fill_(1)
        layer.base_weight.zero_()
        layer.bias.zero_()
        layer.coefficients.copy_(fitted.T.unsqueeze(0))
    return network


def even_points(count: int) -> Tensor:
    return torch.linspace(-1, 1, count, dtype=torch.float64).unsqueeze(1)


@each_density
def test_a_symmetric_function_has_symmetric_weights(make: Callable[[], ImportanceDensity]) -> None:
    network = spline_of(lambda x: torch.cos(4 * x) + x**6, 10)
    weights = make()(context_of(network, even_points(101)))
    torch.testing.assert_close(weights, weights.flip(0), rtol=1e-4, atol=1e-7)


@each_density
def test_knots_do_not_depend_on_the_unit_of_the_function(
    make: Callable[[], ImportanceDensity],
) -> None:
    x, grids = points(200), []
    for unit in (1.0, 1000.0):
        network = KAN(
            [2, 2], grid_size=5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
        )
        (layer,) = network.layers
        with torch.no_grad():
            for parameter in (layer.coefficients, layer.base_weight, layer.bias):
                parameter.mul_(unit)
        losses = unit**2 * losses_at(x)
        report = adapt_grids(network, x, make(), 6, sample_losses=losses)
        grids.append(report.layers[0].new_breakpoints)
    torch.testing.assert_close(grids[1], grids[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in DENSITIES if name != "input"])
def test_a_steep_place_has_more_than_its_share_of_the_weight(name: str) -> None:
    def f(x: Tensor) -> Tensor:
        return torch.tanh(50 * (x - 0.3))

    x = even_points(1001)
    near = (x[:, 0] - 0.3).abs() < 0.1
    network = spline_of(f, 100)
    with torch.no_grad():
        losses = (spline_of(f, 8)(x) - f(x)).square().sum(1)
    layer = network.layers[0]
    weights = DENSITIES[name]()(ImportanceContext(layer, x, network, x, losses))
    assert float(weights[near].sum() / weights.sum()) > 2 * float(near.double().mean())


def linear_kan(dtype: torch.dtype) -> KAN:
    """A layer whose edges are straight lines, their slopes random: at the Greville abscissae."""
    network = KAN([2, 3], grid_size=5, dtype=dtype, generator=torch.Generator().manual_seed(1))
    (layer,) = network.layers
    k = layer.spline_order
    greville = layer.knots[:, 1:-1].unfold(1, k, 1).mean(-1)
    slopes = torch.rand(3, 2, dtype=dtype, generator=torch.Generator().manual_seed(2)) + 0.5
    with torch.no_grad():
        layer.edge_scale.fill_(1)
        layer.base_weight.zero_()
        layer.coefficients.copy_(slopes.unsqueeze(-1) * greville)
    return network


@pytest.mark.parametrize("name", [name for name in DENSITIES if name != "error"])  # keeps its knots
def test_a_linear_function_of_equal_losses_gets_the_knots_of_the_input_density(name: str) -> None:
    x = points(200)
    grids = [
        adapt_grids(linear_kan(torch.float64), x, density, 7, sample_losses=torch.full((200,), 0.3))
        .layers[0]
        .new_breakpoints
        for density in (InputDensity(), DENSITIES[name]())
    ]
    # Within two samples: differences of step 1e-3 have the rounding of that step.
    torch.testing.assert_close(grids[1], grids[0], rtol=0, atol=0.025)


HOSTILE: dict[str, Tensor] = {
    "one sample": torch.tensor([[0.3, -0.2]]),
    "one place": torch.tensor([[0.3, -0.2]]).repeat(50, 1),
    "a constant feature": torch.cat([torch.linspace(-1, 1, 50)[:, None], torch.ones(50, 1)], 1),
    "two places": torch.tensor([[0.3, -0.2], [-0.4, 0.5]]).repeat(20, 1),
    "far outside the grid": 50 + torch.rand(50, 2, generator=torch.Generator().manual_seed(4)),
}


@pytest.mark.parametrize("x", HOSTILE.values(), ids=HOSTILE.keys())
@each_density
def test_samples_of_any_kind_have_weights_and_knots_that_rise(
    make: Callable[[], ImportanceDensity], x: Tensor, make_kan: Callable[..., KAN]
) -> None:
    network = make_kan(torch.float32)
    weights = make()(context_of(network, x))
    assert torch.isfinite(weights).all()
    assert (weights >= 0).all()
    for adapted in adapt(network, x, make()).layers:
        assert (adapted.new_breakpoints.diff(dim=1) > 0).all()


@each_density
def test_an_adaptation_begins_with_what_the_density_says_of_the_untouched_network(
    make: Callable[[], ImportanceDensity], network: Callable[[torch.dtype], nn.Module]
) -> None:
    context, density = context_of(network(torch.float64), points()), make()
    weigh = density.prepare(context)
    torch.testing.assert_close(weigh(context), density(context), rtol=0, atol=0)


@each_density
def test_a_checkpoint_brings_back_the_density(
    make: Callable[[], ImportanceDensity], make_kan: Callable[..., KAN]
) -> None:
    context, kept = context_of(make_kan(), points()), make()
    expected = kept(context)
    file = io.BytesIO()
    torch.save(kept.state_dict(), file)
    file.seek(0)
    resumed = make()
    resumed.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(resumed(context), expected, rtol=0, atol=0)
    assert resumed.state_dict() == kept.state_dict()
