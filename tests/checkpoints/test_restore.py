"""A checkpoint alone makes the module that it was written of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule

from kanlit.checkpoints import module_settings, read_checkpoint, restore_module
from kanlit.data import HelmholtzData, SyntheticData
from kanlit.errors import ConfigurationError
from kanlit.modules import ClassificationModule, KANModule, PDEModule, RegressionModule
from kanlit.signatures import constructor_parameters
from running import trainer_for

HERE = Path("m.ckpt")


def trained(
    folder: Path, module: KANModule, data: LightningDataModule | None, precision: Any = "32-true"
) -> Path:
    """A checkpoint after one epoch."""
    trainer = trainer_for(1, precision=precision)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(folder / "m.ckpt")
    return folder / "m.ckpt"


def restored(path: Path) -> KANModule:
    return restore_module(read_checkpoint(path), path)


class Doubled(RegressionModule):
    """A module of the user's own, with a setting and a forward of its own."""

    def __init__(self, in_features: int, out_features: int, factor: float = 2.0) -> None:
        super().__init__(in_features, out_features, hidden=[2])
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * super().forward(x)


class Passing(RegressionModule):
    """One that passes on what it does not use."""

    def __init__(self, in_features: int, out_features: int, extra: int = 1, **kwargs: Any) -> None:
        super().__init__(in_features, out_features, **kwargs)


@pytest.mark.parametrize("cls", [RegressionModule, PDEModule, ClassificationModule, Passing])
def test_a_module_saves_every_argument_of_its_constructor(cls: type[KANModule]) -> None:
    module = cls(in_features=2, out_features=2, outside="zero")
    given = dict(module.hparams)
    taken = module_settings(
        {"hyper_parameters": given, "state_dict": module.state_dict()}, cls, HERE
    )

    names = set(constructor_parameters(cls)) - {"optimizer", "lr_scheduler"}
    assert names >= set(constructor_parameters(KANModule)) - {"optimizer", "lr_scheduler"}
    assert given.keys() == names
    assert taken.keys() == names
    assert taken["outside"] == "zero"


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_a_regression_module_comes_back_with_its_scales_and_columns(
    precision: str, tmp_path: Path
) -> None:
    data = SyntheticData("f7", samples=20, standardize=True)
    module = RegressionModule(2, 1, hidden=[3], spline_order=2, robust=1.0)
    again = restored(trained(tmp_path, module, data, precision))

    x = torch.rand(50, 2, dtype=module.dtype) * 3
    assert torch.equal(again(x), module(x))
    assert not again.training
    assert again.columns is not None
    assert (again.columns.inputs, again.columns.targets) == (("x1", "x2"), ("y",))
    training = data.build("train")
    assert isinstance(training, tuple)
    assert torch.equal(again.columns.low, training[0].amin(0))
    assert torch.equal(again.columns.high, training[0].amax(0))


def test_a_pde_module_comes_back_with_the_names_and_the_box_of_its_equation(
    tmp_path: Path,
) -> None:
    module = PDEModule(2, 1, hidden=[3])
    again = restored(trained(tmp_path, module, HelmholtzData(points_per_axis=5)))

    x = torch.rand(50, 2)
    assert torch.equal(again(x), module(x))
    assert again.columns is not None
    assert (again.columns.inputs, again.columns.targets) == (("x1", "x2"), ("u",))
    assert again.columns.low.tolist() == [-1, -1]
    assert again.columns.high.tolist() == [1, 1]


def test_a_grid_of_another_size_than_the_setting_comes_back(tmp_path: Path) -> None:
    module = RegressionModule(2, 1, hidden=[3], grid_size=3)
    path = trained(tmp_path, module, SyntheticData("f7", samples=20, standardize=False))
    content = read_checkpoint(path)
    wider = RegressionModule(2, 1, hidden=[3], grid_size=11)
    content["state_dict"] = wider.state_dict()

    x = torch.rand(50, 2)
    assert torch.equal(restore_module(content, path)(x), wider(x))


def test_columns_last_from_checkpoint_to_checkpoint(tmp_path: Path) -> None:
    path = trained(
        tmp_path,
        RegressionModule(2, 1, hidden=[3]),
        SyntheticData("f7", samples=20, standardize=False),
    )
    first = read_checkpoint(path)["kanlit"]["columns"]
    again = restored(path)
    content: dict[str, Any] = {}
    again.on_save_checkpoint(content)

    assert content["kanlit"]["columns"] == first


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "does not name its module"),
        (
            {"kanlit": {"class_path": "nowhere.Module"}},
            "class nowhere.Module, which is not part of kanlit",
        ),
        (
            {"kanlit": {"class_path": "kanlit.KANN"}},
            "class kanlit.KANN, which is not part of kanlit",
        ),
        ({"kanlit": {"class_path": "KAN"}}, "class KAN, which is not part of kanlit"),
        ({"kanlit": {"class_path": "kanlit.KAN"}}, "class kanlit.KAN, which is not part of kanlit"),
        ({"kanlit": {"class_path": "kanlit.RegressionModule"}}, "do not fit a RegressionModule"),
        (
            {
                "hyper_parameters": {"in_features": 3, "out_features": 1},
                "kanlit": {"class_path": "kanlit.RegressionModule"},
            },
            "do not fit a RegressionModule",
        ),
    ],
)
def test_what_makes_no_module_is_one_line(content: dict[str, Any], said: str) -> None:
    state = RegressionModule(2, 1, hidden=[2]).state_dict()
    with pytest.raises(ConfigurationError, match=said) as caught:
        restore_module({"state_dict": state, **content}, HERE)
    assert "\n" not in str(caught.value)


def test_a_module_of_ones_own_keeps_its_settings_where_it_is_named(tmp_path: Path) -> None:
    module = Doubled(2, 1, factor=3.0)
    path = trained(tmp_path, module, SyntheticData("f7", samples=20, standardize=False))
    again = restore_module(read_checkpoint(path), path, Doubled)

    x = torch.rand(5, 2)
    assert torch.equal(again(x), module(x))
    with pytest.raises(ConfigurationError, match="set model to"):
        restore_module(read_checkpoint(path), path)
