"""Collocation points drawn where the residual is large."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from kanlit.callbacks import Checkpoint, GridAdaptationCallback
from kanlit.data import EquationData, PointDraw, ResidualDraw
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule
from kanlit.optim import LevenbergMarquardt
from kanlit.problems import Burgers
from running import trainer_for

pytestmark = pytest.mark.filterwarnings("default:::kanlit")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("floor", [0.0, 1.0])
def test_points_are_drawn_in_proportion_to_the_power_plus_the_floor(
    exponent: float, floor: float
) -> None:
    residual = torch.tensor([1.0, 3.0], dtype=torch.float64).repeat(10000)
    powers = residual[:2] ** exponent
    weights = powers / powers.mean() + floor

    chosen = ResidualDraw(exponent=exponent, floor=floor).choose(residual, 200, generator())

    found = float((residual[chosen] == 3).double().mean())
    assert found == pytest.approx(float(weights[1] / weights.sum()), abs=0.1)
    assert len(chosen.unique()) == 200


@pytest.mark.parametrize("residual", [torch.zeros(5), torch.tensor([0, 0, 0, 1e-300, 1e300])])
def test_residuals_that_vanish_or_are_huge_still_give_different_points(residual: Tensor) -> None:
    chosen = ResidualDraw(exponent=2, floor=0).choose(residual.double(), 5, generator())
    assert sorted(chosen.tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"redraw": {"pool": 9}}, "from a pool of 9"),
        ({"redraw": {"exponent": -1.0}}, "exponent must be at least 0"),
        ({"redraw": {"floor": float("nan")}}, "floor must be at least 0"),
        ({"redraw": {"every": 0}}, "every must be at least 1"),
        ({"sampling": "sobol", "redraw": {}}, "redraw needs sampling residual"),
        ({"points": None}, "set points with sampling"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any], words: str) -> None:
    def build(redraw: dict[str, Any] | None = None, **others: Any) -> EquationData:
        draw = None if redraw is None else ResidualDraw(**redraw)
        return EquationData(
            Burgers(), **{"sampling": "residual", "points": 10, **others}, redraw=draw
        )

    with pytest.raises(ConfigurationError, match=words):
        build(**settings)


class Points(Callback):
    """Keeps the training points of each epoch, and a copy of last.ckpt of each."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.of_epoch: list[Tensor] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert trainer.train_dataloader is not None
        (batch, *_) = trainer.train_dataloader
        self.of_epoch.append(batch["collocation"].clone())
        if self.folder is not None:
            last = self.folder / "last.ckpt"
            last.with_name(f"{trainer.current_epoch}.ckpt").write_bytes(last.read_bytes())


def fit(
    folder: Path | None = None,
    start: Path | None = None,
    draw: PointDraw | None = None,
    batch_size: int | None = None,
    epochs: int = 6,
) -> tuple[list[Tensor], dict[str, Any], EquationData]:
    """Trains with grids that adapt; returns points, all that training came to, and data."""
    torch.manual_seed(1)
    data = EquationData(
        Burgers(0.02),
        sampling="residual",
        points=60,
        condition_points=8,
        redraw=draw or ResidualDraw(pool=300, every=2),
        batch_size=batch_size,
    )
    module = PDEModule(2, 1, hidden=[3], optimizer=LevenbergMarquardt)
    points = Points(folder)
    keep = [] if folder is None else [Checkpoint(dirpath=str(folder), every_n_epochs=1)]
    grids = GridAdaptationCallback(schedule={0: 3, 3: 5})
    trainer = trainer_for(epochs, grids, points, *keep, precision="64-true")
    trainer.fit(module, data, ckpt_path=start)
    reached = {
        "weights": dict(module.state_dict()),
        "data": data.state_dict(),
        "optimizer": trainer.optimizers[0].state_dict(),
        "metrics": dict(trainer.callback_metrics),
    }
    return points.of_epoch, reached, data


class Largest(PointDraw):
    """The points of the largest residual."""

    def choose(self, residual: Tensor, count: int, generator: torch.Generator) -> Tensor:
        return residual.topk(count).indices


def test_points_stay_until_the_next_draw_and_then_are_those_chosen_from_a_fresh_pool() -> None:
    found, reached, data = fit(draw=Largest(pool=300, every=2), epochs=7)

    changed = [not torch.equal(a, b) for a, b in zip(found[1:], found, strict=False)]
    assert changed == [False, True] * 3
    assert all(len(points) == 60 for points in found)
    assert reached["metrics"]["train/loss"] > reached["metrics"]["train/fresh_loss"]
    train = data.state_dict()["train"]
    torch.testing.assert_close(
        train["initial_values"], -torch.sin(torch.pi * train["initial"][:, :1]), rtol=0, atol=0
    )
    assert set(train["walls"][:, 0].tolist()) <= {-1.0, 1.0}


@pytest.mark.parametrize("batch_size", [None, 25])
def test_a_run_resumed_across_a_redraw_ends_to_the_last_bit_as_one_never_stopped(
    batch_size: int | None, tmp_path: Path
) -> None:
    found, unbroken, _ = fit(tmp_path / "unbroken", batch_size=batch_size)
    for epoch in (2, 3):  # written right after a draw, and between two
        start = tmp_path / "unbroken" / f"{epoch}.ckpt"
        points, resumed, _ = fit(tmp_path / str(epoch), start, batch_size=batch_size)
        torch.testing.assert_close(resumed, unbroken, rtol=0, atol=0)
        torch.testing.assert_close(points, found[epoch:], rtol=0, atol=0)


def test_points_of_a_checkpoint_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    fit(tmp_path / "unbroken")
    start = tmp_path / "unbroken" / "3.ckpt"
    content = torch.load(start)
    content["EquationData"]["train"]["collocation"] = torch.zeros(7, 2)
    torch.save(content, start)
    with pytest.raises(ConfigurationError, match="training points in the checkpoint"):
        fit(tmp_path / "resumed", start)


def test_validation_points_stay_and_cover_the_domain() -> None:
    _, _, data = fit(epochs=4)
    validate = data._parts["validate"]
    assert isinstance(validate, dict)
    halves = (validate["collocation"] > torch.tensor([0.0, 0.5])).double().mean(0)
    assert halves.tolist() == pytest.approx([0.5, 0.5], abs=0.05)
