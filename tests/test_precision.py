"""The same knots in every precision, compiled or not; extensions that the loss does not notice."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kanlit.adaptation import (
    AdaptationReport,
    CurvatureDensity,
    ImportanceDensity,
    InputDensity,
    Placement,
    adapt_grids,
    kan_layers,
)
from kanlit.callbacks import GridAdaptationCallback
from kanlit.data import HelmholtzData, SyntheticData
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule, RegressionModule
from kanlit.nn import KAN, KANLayer
from running import trainer_for

DENSITIES: dict[str, ImportanceDensity] = {
    "input": InputDensity(),
    "curvature": CurvatureDensity(),
    "layer curvature": CurvatureDensity("layer"),
}
each_density = pytest.mark.parametrize("density", DENSITIES.values(), ids=DENSITIES.keys())


def points(count: int = 1000) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return 2 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1


def pairs(dtype: torch.dtype = torch.float32) -> DataLoader[tuple[Tensor, ...]]:
    x = points(64).to(dtype)
    return DataLoader(TensorDataset(x, torch.sin(3 * x[:, :1]) * x[:, 1:]), batch_size=64)


# -- layers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", [2, 20], ids=["pieces", "dense"])
def test_evaluations_of_a_layer_are_the_same_under_autocast(out: int) -> None:
    layer = KANLayer(2, out)
    x = points(50).float()
    streams = torch.cat([torch.eye(2).unsqueeze(-1), torch.zeros(2, 2, 1)]).repeat(1, 1, 50)
    value = x.T.contiguous()
    alongs = [(0,), (1,), (0, 0), (1, 1)]
    expected = [layer(x), layer.edge_functions(x, 2), *layer.sweep(value, streams, alongs)]
    with torch.autocast("cpu", torch.bfloat16):
        got = [layer(x), layer.edge_functions(x, 2), *layer.sweep(value, streams, alongs)]
        low = layer.sweep(value.bfloat16(), streams.bfloat16(), alongs)
    for one, two in zip(got, expected, strict=True):
        assert torch.equal(one, two)
    assert all(part.dtype == torch.float32 for part in low)


@each_density
@pytest.mark.parametrize("extension", ["replace", "insert"])
def test_float32_gives_the_knots_of_float64_within_its_precision(
    density: ImportanceDensity, extension: Any
) -> None:
    torch.manual_seed(3)
    double = KAN([2, 4, 1], dtype=torch.float64)
    single = copy.deepcopy(double).float()
    x = points()
    placement = Placement(extension=extension)
    adapt_grids(double, x, density, 8, placement=placement)
    adapt_grids(single, x.float(), density, 8, placement=placement)
    for one, two in zip(kan_layers(single).values(), kan_layers(double).values(), strict=True):
        # A quantile is one of the samples: rounding may choose the next, a thousandth further.
        width = float(two.breakpoints[:, -1].max() - two.breakpoints[:, 0].min())
        exact = isinstance(density, InputDensity) or extension == "insert"
        close = 2e-6 if exact else 4e-3
        torch.testing.assert_close(one.knots.double(), two.knots, rtol=0, atol=close * width)
    with torch.no_grad():
        change = (single(x.float()).double() - double(x)).norm() / double(x).norm()
    assert change < (1e-5 if extension == "insert" else 2e-3)


def test_refit_in_float32_is_the_one_of_float64_rounded() -> None:
    torch.manual_seed(3)
    single = KAN([2, 1])
    double = copy.deepcopy(single).double()
    x = points().float()
    adapt_grids(single, x, InputDensity(), 200)
    adapt_grids(double, x.double(), InputDensity(), 200)
    (one,), (two,) = kan_layers(single).values(), kan_layers(double).values()
    scale = two.coefficients.abs().max()
    assert (one.coefficients.double() - two.coefficients).abs().max() < 1e-3 * scale


# -- runs ---------------------------------------------------------------------------------------


def trained(precision: Any, module: LightningModule, data: Any, **settings: Any) -> nn.Module:
    adaptation = GridAdaptationCallback(CurvatureDensity(), {0: 3, 3: 5, 6: 8})
    trainer = trainer_for(9, adaptation, precision=precision, **settings)
    trainer.fit(module, **({"datamodule": data} if hasattr(data, "setup") else
                           {"train_dataloaders": data}))  # fmt: skip
    return module


def regression() -> RegressionModule:
    torch.manual_seed(0)
    return RegressionModule(2, 1, hidden=[3])


def pde() -> PDEModule:
    torch.manual_seed(0)
    return PDEModule(2, 1, hidden=[3])


@pytest.mark.parametrize("kind", ["regression", "pde"])
def test_bf16_mixed_is_float32_as_far_as_splines_go(kind: str) -> None:
    def run(precision: Any) -> nn.Module:
        if kind == "regression":
            return trained(precision, regression(), pairs())
        return trained(precision, pde(), HelmholtzData(points_per_axis=8, boundary_points=4))

    mixed, full = run("bf16-mixed"), run("32-true")
    for one, two in zip(kan_layers(mixed).values(), kan_layers(full).values(), strict=True):
        assert one.grid_size == 8
        torch.testing.assert_close(one.knots, two.knots, rtol=0, atol=1e-4)
        torch.testing.assert_close(one.coefficients, two.coefficients, rtol=0, atol=1e-3)


def test_a_run_in_float64_has_the_knots_of_float32_to_its_precision() -> None:
    def run(precision: Any, dtype: torch.dtype) -> nn.Module:
        adaptation = GridAdaptationCallback(InputDensity(), {0: 3, 3: 5})
        module = regression()
        trainer_for(6, adaptation, precision=precision).fit(module, pairs(dtype))
        return module

    single, double = run("32-true", torch.float32), run("64-true", torch.float64)
    for one, two in zip(kan_layers(single).values(), kan_layers(double).values(), strict=True):
        assert two.knots.dtype == torch.float64
        torch.testing.assert_close(one.knots.double(), two.knots, rtol=0, atol=1e-4)


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_half_precision_knots_are_refused_at_the_start(precision: Any) -> None:
    words = r"splines need float32 or float64, but the knots of \S+ are torch\.\w*float16: set"
    with pytest.raises(ConfigurationError, match=words):
        trained(precision, regression(), pairs())


# -- compiled networks --------------------------------------------------------------------------


def test_a_compiled_network_is_extended_and_trained_as_an_eager_one() -> None:
    # Dynamo sets itself up by deprecated calls of torch's own.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        compiled = regression()
        compiled.network = torch.compile(compiled.network, backend="aot_eager")  # type: ignore[assignment]
        try:
            trained("32-true", compiled, pairs())
        finally:
            torch.compiler.reset()
    eager = trained("32-true", regression(), pairs())
    for one, two in zip(kan_layers(compiled).values(), kan_layers(eager).values(), strict=True):
        assert one.grid_size == 8
        torch.testing.assert_close(one.knots, two.knots, rtol=0, atol=1e-5)
        torch.testing.assert_close(one.coefficients, two.coefficients, rtol=0, atol=1e-4)


# -- large grids --------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_the_loss_does_not_notice_insertions_up_to_a_large_grid(precision: Any) -> None:
    """A smaller ``studies/extend_to_500.py``."""
    reports: list[AdaptationReport] = []

    class Recorder(Callback):
        def on_grid_adaptation(
            self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
        ) -> None:
            reports.append(report)

    adaptation = GridAdaptationCallback(schedule=[3, 10, 50, 200, 500], extension="insert")
    trainer = trainer_for(60, adaptation, Recorder(), precision=precision)
    torch.manual_seed(42)
    trainer.fit(
        RegressionModule(2, 1), datamodule=SyntheticData("f1", samples=500, standardize=False)
    )
    assert [report.grid_size for report in reports] == [3, 10, 50, 200, 500]
    for report in reports[1:]:
        assert report.loss_after == pytest.approx(report.loss_before, rel=0.01)
