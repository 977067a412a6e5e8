"""A field has hidden nodes of its own in the module's network, which sees its coordinates only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from kanlit.callbacks import GridAdaptationCallback, TimeWindows
from kanlit.checkpoints import read_checkpoint
from kanlit.checkpoints.restore import restore_module
from kanlit.data import EquationData
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule
from kanlit.optim import LevenbergMarquardt
from kanlit.problems import Condition, Equation, dirichlet
from running import trainer_for


class Cooling(Equation):
    """``u_t = -a u`` from 1, with the field a(x) = 1 + x: ``u = exp(-(1 + x) t)``."""

    coordinates = ("x", "t")
    unknowns = ("u", "a")
    bounds = ((0.0, 1.0), (0.0, 1.0))
    fields: ClassVar[Any] = {"a": ("x",)}

    def residual(self, u: Tensor, u_t: Tensor, a: Tensor) -> Tensor:
        return u_t + a * u

    def conditions(self) -> list[Condition]:
        return [dirichlet("start", {"t": "low"}, 1.0)]

    def solution(self, points: Tensor) -> Tensor:
        x, t = points.split(1, 1)
        return torch.cat([torch.exp(-(1 + x) * t), 1 + x], 1)


class Undivided(Cooling):
    fields: ClassVar[Any] = {}


POINTS = torch.rand(200, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.fixture
def seen(tmp_path: Path) -> str:
    path = tmp_path / "seen.csv"
    u = Cooling().solution(POINTS)[:, :1]
    rows = torch.cat([POINTS, u], 1).tolist()
    path.write_text("x,t,u\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return str(path)


def fitted(
    seen: str,
    epochs: int,
    *callbacks: Any,
    equation: Equation | None = None,
    start: Any = None,
    **settings: Any,
) -> PDEModule:
    torch.manual_seed(0)
    settings = {"hidden": [4], "optimizer": LevenbergMarquardt} | settings
    module = PDEModule(2, 2, grid_size=2, **settings)
    if start is not None and not isinstance(start, str):
        module.start_from(start)
    trainer = trainer_for(epochs, *callbacks, precision="64-true", check_val_every_n_epoch=epochs)
    data = EquationData(equation or Cooling(), 9, condition_points=9, observations=seen)
    trainer.fit(module, data, ckpt_path=start if isinstance(start, str) else None)
    return module


def steady(module: PDEModule) -> tuple[bool, bool]:
    """Whether u and a are the same at all times."""
    later = POINTS * torch.tensor([1.0, 0.5])
    return tuple((module(POINTS) == module(later)).all(0).tolist())


@pytest.mark.parametrize("optimizer", [LevenbergMarquardt, torch.optim.Adam])
def test_a_field_does_not_depend_on_the_other_coordinates(seen: str, optimizer: Any) -> None:
    grow = GridAdaptationCallback(schedule={0: 2, 5: 4})
    weights = {"boundary_weight": 100.0, "observation_weight": 100.0}
    module = fitted(seen, 30, grow, optimizer=optimizer, hidden=[8], **weights)
    assert module.network.layers[0].grid_size == 4
    assert steady(module) == (False, True)
    if optimizer is LevenbergMarquardt:
        known = Cooling().solution(POINTS)
        errors = (module(POINTS).detach() - known).norm(dim=0) / known.norm(dim=0)
        assert float(errors.max()) < 0.05


@pytest.mark.parametrize(
    ("settings", "edges"),
    [
        ({"hidden": [5]}, [3 * 2 + 2, 3 + 2]),
        ({"hidden": [5], "field_hidden": [1]}, [4 * 2 + 1, 4 + 1]),
        ({"hidden": [5, 2]}, [3 * 2 + 2, 3 + 2, 1 + 1]),
        ({"hidden": []}, [2 + 1]),
    ],
)
def test_hidden_nodes_are_divided_as_set(seen: str, settings: Any, edges: list[int]) -> None:
    module = fitted(seen, 1, **settings)
    masks = [layer.edge_mask for layer in module.network.layers]
    assert [int(mask.sum()) for mask in masks if mask is not None] == edges


def test_a_checkpoint_holds_the_division_and_resumes_to_the_last_bit(
    seen: str, tmp_path: Path
) -> None:
    def files(name: str) -> ModelCheckpoint:
        return ModelCheckpoint(
            dirpath=tmp_path / name, filename="{epoch}", save_top_k=-1, save_on_train_epoch_end=True
        )

    whole = fitted(seen, 8, files("whole"), GridAdaptationCallback(schedule={0: 2, 6: 3}))
    path = tmp_path / "whole" / "epoch=3.ckpt"
    resumed = fitted(seen, 8, GridAdaptationCallback(schedule={0: 2, 6: 3}), start=str(path))
    assert torch.equal(resumed(POINTS), whole(POINTS))
    last = tmp_path / "whole" / "epoch=7.ckpt"
    restored = restore_module(read_checkpoint(last), last)
    assert torch.equal(restored(POINTS), whole(POINTS))


def test_weights_of_a_network_that_was_not_divided_are_divided(seen: str, tmp_path: Path) -> None:
    keep = ModelCheckpoint(dirpath=tmp_path, filename="first")
    assert steady(fitted(seen, 2, keep, equation=Undivided())) == (False, False)
    start = read_checkpoint(tmp_path / "first.ckpt")
    assert steady(fitted(seen, 2, start=start)) == (False, True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"hidden": [4, 1]},
            r"hidden nodes \[4, 1\] cannot be divided into 2 networks, with \[2, 0\]",
        ),
        (
            {"field_hidden": [4]},
            r"with \[4\] of each field of Cooling: raise hidden, or set field_",
        ),
        ({"field_hidden": [2, 2]}, r"with \[2, 2\] of each field"),
        (
            {"equation": Undivided(), "field_hidden": [2]},
            r"field_hidden is \[2\], but Undivided has no fields: remove field_hidden, or name",
        ),
    ],
)
def test_nodes_that_cannot_be_divided_are_refused(seen: str, settings: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        fitted(seen, 1, **settings)


def test_windows_of_time_and_a_field_without_time_do_not_go_together(seen: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Cooling has unknown coefficients or fields \(a"):
        fitted(seen, 4, TimeWindows(2))
