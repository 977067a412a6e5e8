"""A layer of any basis does what one of splines does."""

from __future__ import annotations

import copy
import io
import pickle
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.nn import functional as F

from kanlit import (
    GridAdaptationCallback,
    LevenbergMarquardt,
    RegressionModule,
    SyntheticData,
)
from kanlit.adaptation import InputDensity, Placement, adapt_grids
from kanlit.adaptation.density import CurvatureDensity, DeBoorDensity, ImportanceDensity
from kanlit.bases import BasisName, RadialBasis
from kanlit.nn import KAN, KANLayer, edge_importance
from kanlit.optim import Residual
from running import trainer_for

SMOOTH: tuple[BasisName, ...] = ("radial", "chebyshev", "fourier")
each_basis = pytest.mark.parametrize("basis", SMOOTH)


def make_layer(basis: BasisName, seed: int = 0, grid_size: int = 4) -> KANLayer:
    generator = torch.Generator().manual_seed(seed)
    layer = KANLayer(
        2, 3, grid_size=grid_size, basis=basis, generator=generator, dtype=torch.float64
    )
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(generator=generator)
    return layer


def points(count: int = 40) -> Tensor:
    return 1.3 * (2 * torch.rand(count, 2, dtype=torch.float64) - 1)


@each_basis
def test_output_is_the_formula(basis: BasisName) -> None:
    layer, x = make_layer(basis), points()
    spline = torch.einsum(
        "qp,qpi,npi->nq", layer.edge_scale, layer.coefficients, layer.exact_basis.values(x)
    )
    expected = spline + F.silu(x) @ layer.base_weight.T + layer.bias
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer.edge_functions(x).sum(1) + layer.bias, expected)


@each_basis
def test_a_sweep_is_what_nested_autograd_gives(basis: BasisName) -> None:
    network = KAN([2, 3, 1], basis=basis, dtype=torch.float64)
    x = points().requires_grad_()
    y = network(x)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    bends = [torch.autograd.grad(slope[:, d].sum(), x, retain_graph=True)[0] for d in (0, 1)]
    found = network.sweep(x.detach(), [(0, 0), (0, 1), (1, 1)])
    torch.testing.assert_close(found.value, y)
    torch.testing.assert_close(found.gradient[:, 0], slope)
    expected = torch.stack([bends[0][:, 0], bends[0][:, 1], bends[1][:, 1]], 1)
    torch.testing.assert_close(found.second[:, 0], expected, rtol=1e-7, atol=1e-8)


@each_basis
def test_gradients_of_the_parameters_are_right(basis: BasisName) -> None:
    layer = make_layer(basis)
    x = points(5).requires_grad_()
    names, values = zip(*layer.named_parameters(), strict=True)

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x, *values))


@each_basis
def test_a_least_squares_step_solves_a_linear_layer(basis: BasisName) -> None:
    torch.manual_seed(0)
    layer, x = make_layer(basis), 2 * torch.rand(300, 2, dtype=torch.float64) - 1
    target = make_layer(basis, seed=1)
    with torch.no_grad():
        target.edge_scale.fill_(1)
        y = target(x)
    optimizer = LevenbergMarquardt(layer.parameters())
    for _ in range(30):
        loss = optimizer.step(lambda: {"data": Residual(layer(x) - y)})
    assert float(loss) < 1e-10


@pytest.mark.parametrize("density", [InputDensity(), CurvatureDensity(), DeBoorDensity()])
@each_basis
def test_an_extension_keeps_the_function_inside_its_grid(
    basis: BasisName, density: ImportanceDensity
) -> None:
    torch.manual_seed(0)
    network = KAN([2, 3, 1], grid_size=6, basis=basis, dtype=torch.float64)
    x = 2 * torch.rand(300, 2, dtype=torch.float64) - 1
    before = network(x).detach()
    report = adapt_grids(network, x, density, 24)
    assert [layer.grid_size for layer in network.layers] == [24, 24]
    bound = {"radial": 1e-2, "chebyshev": 2e-4, "fourier": 1e-12}[basis]
    assert (network(x).detach() - before).norm() < bound * before.norm()
    assert report.refit_error < bound


@pytest.mark.parametrize("placement", [Placement(extension="insert"), Placement(refit="samples")])
@each_basis
def test_every_placement_serves_every_basis(basis: BasisName, placement: Placement) -> None:
    torch.manual_seed(0)
    network = KAN([2, 3, 1], grid_size=6, basis=basis, dtype=torch.float64)
    x = 2 * torch.rand(300, 2, dtype=torch.float64) - 1
    before = network(x).detach()
    adapt_grids(network, x, InputDensity(), 24, placement=placement)
    assert (network(x) - before).norm() < 2e-2 * before.norm()


def test_centres_gather_where_samples_do() -> None:
    layer = KANLayer(1, 1, grid_size=8, basis="radial", dtype=torch.float64)
    x = torch.cat([torch.linspace(-1, -0.8, 900), torch.linspace(-0.8, 1, 100)]).double()
    adapt_grids(layer, x.unsqueeze(1), InputDensity(), placement=Placement(uniform_mix=0.1))
    basis = layer.exact_basis
    assert isinstance(basis, RadialBasis)
    centres = basis.centers[0]
    assert int((centres < -0.75).sum()) >= 6


def test_series_have_no_knots_to_place() -> None:
    x = 3 * torch.rand(200, 2, dtype=torch.float64)
    for basis in ("chebyshev", "fourier"):
        layer = make_layer(basis)
        adapt_grids(layer, x, InputDensity())
        steps = layer.breakpoints.diff(dim=1)
        torch.testing.assert_close(steps, steps[:, :1].expand_as(steps))
        reaches = bool((layer.breakpoints[:, -1] >= x.amax(0)).all())
        assert reaches == (basis == "chebyshev")


@each_basis
def test_it_can_be_copied_saved_pruned_and_moved_to_another_type(basis: BasisName) -> None:
    layer, x = make_layer(basis), points()
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
    other = KANLayer(2, 3, grid_size=9, basis=basis, dtype=torch.float64)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), layer(x))
    single = layer.float()(x.float()).detach()
    torch.testing.assert_close(single, other(x).detach().float(), rtol=1e-4, atol=1e-4)
    edges = other.edge_functions(x).detach()
    everything = torch.ones(3, 2).bool()
    other.retain(torch.tensor([True, False, True]), torch.tensor([True, False]), everything)
    expected = edges[:, 0][:, [0, 2]] + other.bias
    torch.testing.assert_close(other(x[:, :1]), expected)


@each_basis
def test_importance_and_export_go_by_the_function(basis: BasisName) -> None:
    network = KAN([2, 3, 1], basis=basis, dtype=torch.float64)
    x = points()
    assert all(
        float(i.sum()) == pytest.approx(n)
        for i, n in zip(edge_importance(list(network.layers), x), (1, 1), strict=True)
    )
    exported = torch.export.export(network, (x,)).module()
    torch.testing.assert_close(exported(x), network(x), rtol=1e-12, atol=1e-12)


def fit(basis: BasisName, folder: Path, epochs: int, checkpoint: Path | None = None) -> Trainer:
    torch.manual_seed(0)
    adaptation = GridAdaptationCallback(schedule=[3, 6, 10], max_loss_growth=1e9)
    settings = {"default_root_dir": folder, "enable_checkpointing": True}
    trainer = trainer_for(epochs, adaptation, **settings)
    module = RegressionModule(
        1, 1, hidden=[5], basis=basis, optimizer=lambda p: torch.optim.Adam(p, lr=3e-3)
    )
    trainer.fit(module, SyntheticData("f2", samples=200, standardize=False), ckpt_path=checkpoint)
    return trainer


@pytest.mark.filterwarnings("default:::kanlit")
@each_basis
def test_a_run_with_extensions_learns(basis: BasisName, tmp_path: Path) -> None:
    trainer = fit(basis, tmp_path, 150)
    network = trainer.lightning_module.network
    assert [layer.grid_size for layer in network.layers] == [10, 10]
    assert float(trainer.callback_metrics["val/loss"]) < 0.2  # 1 before the first step
    sizes = {
        tuple(p.shape)
        for state in trainer.optimizers[0].state.values()
        for p in (state["exp_avg"],)
    }
    assert {(5, 1, 13), (1, 5, 13)} <= sizes
    saved = tmp_path / "saved.ckpt"
    trainer.save_checkpoint(saved)
    again = RegressionModule.load_from_checkpoint(saved)
    x = torch.rand(9, 1)
    module = trainer.lightning_module.eval()
    with torch.no_grad():
        assert torch.equal(again.eval()(x), module(x))


@pytest.mark.filterwarnings("default:::kanlit")
def test_a_checkpoint_of_another_basis_is_refused(tmp_path: Path) -> None:
    fit("radial", tmp_path, 2).save_checkpoint(tmp_path / "radial.ckpt")
    with pytest.raises(Exception, match=r"basis radial.*set model.basis to radial"):
        fit("chebyshev", tmp_path, 4, tmp_path / "radial.ckpt")


def test_widths_say_nothing_of_the_basis() -> None:
    counts = {
        basis: sum(p.numel() for p in KAN([2, 5, 1], basis=basis).parameters())
        for basis in ("bspline", *SMOOTH)
    }
    assert all(a == b for a, b in pairwise(counts.values()))
