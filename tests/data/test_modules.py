"""Laws of every data module, on the parts that Lightning asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import kanlit
from kanlit.data import (
    ClassTableData,
    FeynmanData,
    FormulaData,
    HelmholtzData,
    ScikitData,
    SharpData,
    SyntheticData,
    TableData,
    TensorDataModule,
)
from kanlit.errors import ConfigurationError


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    rows = [f"{i},{i * i / 7},{3 - i},{'red' if i % 3 else 'blue'}" for i in range(40)]
    path.write_text("\n".join(["a,b,y,c", *rows]) + "\n")
    return path


MAKERS: dict[str, Callable[[Path], TensorDataModule]] = {
    "synthetic 1-D": lambda _: SyntheticData("gaussian", samples=50),
    "synthetic 2-D": lambda _: SyntheticData("f7", samples=50, batch_size=20),
    "synthetic 4-D": lambda _: SyntheticData("f10", samples=50),
    "sharp": lambda _: SharpData("front", samples=50),
    "feynman 2-D": lambda _: FeynmanData(4, samples=50),
    "feynman 3-D": lambda _: FeynmanData(7, samples=50, batch_size=7),
    "formula 1-D": lambda _: FormulaData("cos(t)", {"t": [0, 3]}, samples=50),
    "formula 3-D": lambda _: FormulaData(
        "q = a*b - c", {v: [-1, 1] for v in "abc"}, samples=50, noise=0.1, batch_size=7
    ),
    "helmholtz": lambda _: HelmholtzData(points_per_axis=8, boundary_points=5),
    "helmholtz, mini-batch": lambda _: HelmholtzData(points_per_axis=8, batch_size=9),
    "table": lambda path: TableData(str(path), ["a", "b"], ["y"]),
    "table, mini-batch": lambda path: TableData(str(path), ["b"], ["y", "a"], batch_size=6),
    "class table": lambda path: ClassTableData(str(path), ["a", "b"], "c"),
    "class table, mini-batch": lambda path: ClassTableData(str(path), ["y"], "c", batch_size=6),
    "scikit": lambda _: ScikitData("iris"),
    "scikit, mini-batch": lambda _: ScikitData("wine", batch_size=50),
}
each_module = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def _tensors(batch: object) -> list[Tensor]:
    return list(batch.values()) if isinstance(batch, dict) else list(batch)  # type: ignore[call-overload]


def _batches(data: TensorDataModule) -> dict[str, list[Any]]:
    for stage in ("fit", "validate", "test", "predict"):
        data.setup(stage)
    return {
        "train": list(data.train_dataloader()),
        "validate": list(data.val_dataloader()),
        "test": list(data.test_dataloader()),
        "predict": list(data.predict_dataloader()),
    }


@pytest.mark.parametrize("name", [n for n in MAKERS if not n.startswith("helmholtz")])
def test_columns_are_standardized_by_default(name: str, csv: Path) -> None:
    assert MAKERS[name](csv).standardization() is not None


@each_module
def test_feature_counts_are_known_before_setup_and_hold(
    make: Callable[[Path], TensorDataModule], csv: Path
) -> None:
    data = make(csv)
    assert len(data.input_names) == data.in_features
    assert len(data.target_names) == data.out_features
    assert data.target is None or data.target.dim == data.in_features
    for x, y in _batches(data)["test"]:
        assert x.shape == (len(y), data.in_features)
        assert y.shape == (len(x), data.out_features)


@each_module
def test_two_constructions_give_the_same_batches(
    make: Callable[[Path], TensorDataModule], csv: Path
) -> None:
    one, two = _batches(make(csv)), _batches(make(csv))
    for part, batches in one.items():
        for first, second in zip(batches, two[part], strict=True):
            for a, b in zip(_tensors(first), _tensors(second), strict=True):
                assert torch.equal(a, b)


@each_module
def test_type_follows_the_precision_of_the_trainer(
    make: Callable[[Path], TensorDataModule], csv: Path
) -> None:
    data = make(csv)
    for batch in _batches(data)["train"]:
        assert {tensor.dtype for tensor in _tensors(batch)} == {torch.float32}
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        precision="64-true",
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
        global_rank=0,
        world_size=1,
        overfit_batches=0.0,
    )
    for batches in _batches(data).values():
        for batch in batches:
            assert {tensor.dtype for tensor in _tensors(batch)} == {torch.float64}


@each_module
def test_training_is_one_batch_unless_a_batch_size_is_given(
    make: Callable[[Path], TensorDataModule], csv: Path
) -> None:
    data = make(csv)
    assert (len(_batches(data)["train"]) == 1) == (data.batch_size is None)


@each_module
def test_prediction_batches_hold_inputs_only(
    make: Callable[[Path], TensorDataModule], csv: Path
) -> None:
    data = make(csv)
    for batch in _batches(data)["predict"]:
        assert isinstance(batch, tuple)
        assert [tensor.shape[1] for tensor in batch] == [data.in_features]


@each_module
def test_a_loader_asked_for_before_setup_says_so(
    make: Callable[[Path], TensorDataModule], csv: Path
) -> None:
    with pytest.raises(RuntimeError, match="call setup"):
        make(csv).train_dataloader()


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (SyntheticData("f2"), 1000),
        (SyntheticData("f1"), 200**2),
        (SyntheticData("f10"), 20**4),
        (SyntheticData("f9"), 10**6),
        (SharpData("jump"), 20001),
        (SharpData("ring"), 401**2),
        (SharpData("ridge"), 20**4),
        (FeynmanData(9), 200**2),
        (FeynmanData(14), 30**3),
        (HelmholtzData(), 100**2),
    ],
    ids=lambda value: value.target.name if hasattr(value, "target") else str(value),
)
def test_test_set_has_the_paper_s_size_and_the_exact_values(
    data: TensorDataModule, count: int
) -> None:
    data.setup("test")
    batches: list[Any] = list(data.test_dataloader())
    assert sum(len(x) for x, _ in batches) == count
    assert max(len(x) for x, _ in batches) <= 65536
    x, y = batches[0]
    assert data.target is not None
    torch.testing.assert_close(y, data.target(x.double()).float(), rtol=1e-3, atol=1e-3)
    if count != 10**6:
        x = torch.cat([x for x, _ in batches])
        bounds = torch.tensor(data.target.bounds)
        assert torch.equal(x.amin(0), bounds[:, 0])
        assert torch.equal(x.amax(0), bounds[:, 1])


def test_synthetic_training_set_is_fixed_by_the_function_s_number() -> None:
    seeds = [SyntheticData(name).seed for name in ("f1", "f10", "gaussian")]
    assert seeds == [43, 52, 42]
    assert FeynmanData(3).seed == 45


def test_synthetic_validation_points_are_fresh() -> None:
    batches = _batches(SyntheticData("f2"))
    ((train, _),), ((validation, _),) = batches["train"], batches["validate"]
    assert len(train) == 4000
    assert len(validation) == 1000
    assert not set(train.flatten().tolist()) & set(validation.flatten().tolist()[:20])


def test_feynman_points_are_split_four_to_one() -> None:
    batches = _batches(FeynmanData(14))
    ((train, _),), ((validation, _),) = batches["train"], batches["validate"]
    assert len(train) == 4000
    assert len(validation) == 1000
    assert len(torch.cat([train, validation]).unique(dim=0)) == 5000


def test_helmholtz_training_points_are_the_paper_s() -> None:
    data = HelmholtzData(1, 2)
    ((train,), (validation,)) = list(_batches(data).values())[:2]
    assert train["collocation"].shape == (64**2, 2)
    assert train["boundary"].shape == (4 * 64, 2)
    assert train["collocation"].abs().max() == 1
    assert validation["collocation"].shape == (63**2, 2)
    assert validation["collocation"].abs().max() < 1
    for batch in (train, validation):
        assert torch.equal(batch["boundary"].abs().amax(1), torch.ones(len(batch["boundary"])))
        assert not batch["boundary_values"].any()
        x = batch["collocation"].double()
        torch.testing.assert_close(
            batch["source"].double(), data.problem.source(x), rtol=1e-4, atol=1e-4
        )


def test_helmholtz_mini_batches_divide_the_collocation_points_only() -> None:
    data = HelmholtzData(points_per_axis=6, boundary_points=4, batch_size=10)
    batches = _batches(data)["train"]
    assert [len(batch["collocation"]) for batch in batches] == [10, 10, 10, 6]
    assert {len(batch["boundary"]) for batch in batches} == {16}
    together = torch.cat([batch["collocation"] for batch in batches])
    assert len(together.unique(dim=0)) == 36


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SyntheticData("f11"), r"'f11': did you mean .*f1.* choose one of f1, .*gaussian"),
        (lambda: SyntheticData("gausian"), "did you mean 'gaussian'"),
        (lambda: SyntheticData(samples=0), "samples .* got 0"),
        (lambda: SyntheticData(batch_size=0), "batch_size .* got 0"),
        (lambda: SharpData("kinks"), "'kinks': did you mean 'kink'"),
        (lambda: SharpData(samples=0), "samples .* got 0"),
        (lambda: FeynmanData(16), "unknown equation 16: .* 1 to 15"),
        (lambda: FeynmanData(samples=1), "samples must be at least 2, got 1"),
        (lambda: HelmholtzData(a1=0), "a1 .* got 0"),
        (lambda: HelmholtzData(wavenumber=2.221441469079183), "not unique"),
        (lambda: HelmholtzData(points_per_axis=1), "points_per_axis .* got 1"),
        (lambda: HelmholtzData(boundary_points=0), "boundary_points .* got 0"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_at_construction(
    make: Callable[[], TensorDataModule], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [lambda **more: SyntheticData("f3", 200, **more), lambda **more: FeynmanData(12, 200, **more)],
    ids=["synthetic", "feynman"],
)
def test_a_function_s_scales_are_those_of_its_training_points(
    make: Callable[..., TensorDataModule],
) -> None:
    data = make()
    scales = data.standardization()
    data.setup("fit")
    (batch,) = list(data.train_dataloader())
    x, y = (tensor.double() for tensor in batch)

    assert scales is not None
    z = (x - scales.input_mean) / scales.input_std
    t = (y - scales.target_mean) / scales.target_std
    for columns in (z, t):
        assert columns.mean(0).abs().max() < 1e-6
        assert (columns.square().mean(0) - 1).abs().max() < 1e-6
    assert make(standardize=False).standardization() is None


@pytest.mark.parametrize(
    ("data", "module"),
    [
        (TableData, "RegressionModule"),
        (ScikitData, "ClassificationModule"),
        (HelmholtzData, "PDEModule"),
    ],
)
def test_data_name_the_module_that_learns_from_them(
    data: type[TensorDataModule], module: str
) -> None:
    assert data.default_module == module
    assert module in kanlit.__all__
