"""A number of the equation, or the end of its time axis, changes in stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from kanlit.adaptation import PeriodicTrigger
from kanlit.callbacks import (
    Checkpoint,
    Continuation,
    GridAdaptationCallback,
    Horizon,
    KeepBest,
    Stages,
)
from kanlit.callbacks.stage_plan import StagePlan
from kanlit.data import EquationData, ResidualDraw, SyntheticData
from kanlit.errors import ConfigurationError, DivergenceError
from kanlit.modules import PDEModule, RegressionModule
from kanlit.optim import LevenbergMarquardt
from kanlit.problems import Burgers, Condition, Equation, dirichlet
from running import trainer_for

pytestmark = pytest.mark.filterwarnings("default:::kanlit")


class Seen(Callback):
    """What module and data have in each epoch, and a copy of last.ckpt at its start."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.viscosity: list[float] = []
        self.ends: list[tuple[float, float]] = []  # latest training and validation point
        self.losses: list[float] = []  # val/loss

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        assert pl_module.problem is data.problem
        self.viscosity.append(data.problem.viscosity)
        batches = [next(iter(trainer.train_dataloader)), next(iter(data.val_dataloader()))]
        latest = [
            max(float(tensor[:, 1].max()) for tensor in batch.values() if tensor.shape[1] == 2)
            for batch in batches
        ]
        self.ends.append((latest[0], latest[1]))
        if self.folder is not None:
            last = self.folder / "last.ckpt"
            last.with_name(f"{trainer.current_epoch}.ckpt").write_bytes(last.read_bytes())

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.losses.append(float(trainer.callback_metrics["val/loss"]))


class Spoil(Callback):
    """Spoils the weights once after the step of each of some epochs: the loss explodes."""

    def __init__(self, *epochs: int, factor: float = 1e6) -> None:
        self.epochs = list(epochs)
        self.factor = factor

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        if trainer.current_epoch in self.epochs:
            self.epochs.remove(trainer.current_epoch)
            with torch.no_grad():
                pl_module.network.layers[-1].coefficients.mul_(self.factor)


def fit(
    *callbacks: Callback,
    equation: Equation | None = None,
    data: Any = None,
    module: Any = None,
    folder: Path | None = None,
    start: Path | None = None,
    epochs: int = 6,
    optimizer: Any = LevenbergMarquardt,
) -> tuple[Seen, PDEModule, Trainer]:
    torch.manual_seed(1)
    data = data or EquationData(
        equation or Burgers(0.1),
        sampling="residual",
        points=40,
        condition_points=8,
        redraw=ResidualDraw(pool=100, every=2),
    )
    module = module or PDEModule(2, 1, hidden=[3], optimizer=optimizer)
    seen = Seen(folder)
    keep = [] if folder is None else [Checkpoint(dirpath=str(folder), every_n_epochs=1)]
    trainer = trainer_for(epochs, *callbacks, seen, *keep, precision="64-true")
    trainer.fit(module, data, ckpt_path=start)
    return seen, module, trainer


def test_a_number_changes_along_its_schedule_and_ends_at_the_equation_s_own() -> None:
    seen, module, _ = fit(Continuation("viscosity", {0: 0.4, 2: 0.2, 4: None}))

    assert seen.viscosity == [0.4, 0.4, 0.2, 0.2, 0.1, 0.1]
    assert module.problem == Burgers(0.1)


def test_the_end_of_time_grows_and_points_stay_within_it() -> None:
    seen, _, trainer = fit(Horizon([0.25, 0.5, 1.0]))

    horizon = [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
    for (train, validation), end in zip(seen.ends, horizon, strict=True):
        assert 0.8 * end < train <= end
        assert 0.8 * end < validation <= end
    x, _ = trainer.datamodule.build("test")  # type: ignore[attr-defined]
    assert float(x[:, 1].max()) == 1.0


def test_continuation_and_horizon_combine() -> None:
    seen, _, _ = fit(
        Horizon({0: 0.5, 3: None}), Continuation("viscosity", {0: 0.4, 2: 0.2, 4: None})
    )

    assert seen.viscosity == [0.4, 0.4, 0.2, 0.2, 0.1, 0.1]
    assert [round(train) for train, _ in seen.ends] == [0, 0, 0, 1, 1, 1]


def test_stages_need_no_points_of_conditions_that_hold_exactly() -> None:
    exact = Burgers(0.1, conditions="exact")
    seen, module, _ = fit(
        Horizon([0.5, None]), Continuation("viscosity", [0.4, 0.2, None]), equation=exact
    )

    assert [round(train) for train, _ in seen.ends] == [0, 0, 0, 1, 1, 1]
    assert module.problem == exact


def test_a_trigger_begins_the_next_stage_but_not_before_the_first_epoch() -> None:
    seen, _, _ = fit(Continuation("viscosity", [0.4, 0.2, None], trigger=PeriodicTrigger(2)))

    assert seen.viscosity == [0.4, 0.4, 0.2, 0.2, 0.1, 0.1]


def test_a_run_that_ends_before_the_last_stage_says_so_and_tests_the_equation_itself() -> None:
    stages = Continuation("viscosity", [0.4, 0.2, None], trigger=PeriodicTrigger(4))
    with pytest.warns(UserWarning, match="ended at viscosity 0.2, before the equation's own 0.1"):
        _, module, _ = fit(stages)
    assert module.problem == Burgers(0.1)


def test_the_best_on_validation_is_that_of_the_last_stage(tmp_path: Path) -> None:
    # The first stage has the lowest loss of the run.
    best = KeepBest()
    stages = Continuation("viscosity", {0: 0.02, 6: None})
    seen, _, trainer = fit(stages, best, folder=tmp_path, epochs=8, equation=Burgers(10.0))

    last = min(seen.losses[6:])
    assert last > min(seen.losses[:6])
    assert best.best == last
    assert float(trainer.checkpoint_callback.best_model_score) == last  # type: ignore[union-attr, arg-type]


# -- the transaction ----------------------------------------------------------------------------


def test_a_stage_in_which_the_loss_explodes_is_rolled_back_and_approached_by_half_the_step() -> (
    None
):
    stages = Continuation("viscosity", {0: 0.4, 2: 0.2, 4: None})
    with pytest.warns(UserWarning, match="viscosity 0.2 makes the loss explode .* 0.3 comes first"):
        seen, _, _ = fit(Spoil(3, factor=1e200), stages, epochs=10)

    assert seen.viscosity == pytest.approx([0.4, 0.4, 0.2, 0.2, 0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    assert seen.losses[-1] < 10


def test_training_ends_with_one_line_if_smaller_steps_explode_as_well() -> None:
    stages = Continuation("viscosity", {0: 0.4, 2: None}, retries=1)
    with (
        pytest.warns(UserWarning, match="0.25 comes first"),
        pytest.raises(DivergenceError, match=r"^viscosity 0.25 makes .* after 1 smaller steps: "),
    ):
        fit(Spoil(2, 3), stages, epochs=10)


def test_a_run_too_short_for_smaller_steps_ends_with_one_line() -> None:
    stages = Continuation("viscosity", {0: 0.4, 4: None})
    with pytest.raises(DivergenceError, match="smaller steps would take until epoch 8: raise"):
        fit(Spoil(4), stages, epochs=6)


def test_retreating_halves_the_step_and_delays_the_rest() -> None:
    plan = StagePlan([8.0, 4.0, 1.0], [0, 30, 60])
    plan.index = 1
    plan.retreat(33)
    assert plan.values == [8.0, 6.0, 4.0, 1.0]
    assert plan.starts == [0, 33, 63, 93]
    assert plan.value == 6.0


# -- checkpoints --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:epoch")
def test_a_run_resumed_across_stages_redraws_and_a_roll_back_ends_to_the_last_bit_the_same(
    tmp_path: Path,
) -> None:
    def run(name: str, start: Path | None = None) -> dict[str, Any]:
        stages: list[Stages] = [
            Continuation("viscosity", {0: 0.4, 2: 0.2, 5: None}),
            Horizon([0.5, None], trigger=PeriodicTrigger(3)),
        ]
        adaptation = GridAdaptationCallback(schedule={0: 3, 3: 5})
        _, module, trainer = fit(
            Spoil(*([] if start and start.stem > "6" else [6])),
            *stages,
            adaptation,
            folder=tmp_path / name,
            start=start,
            epochs=11,
        )
        return {
            "weights": dict(module.state_dict()),
            "kept": [each.state_dict().pop("kept") for each in stages],
            "plain": [
                {k: v for k, v in each.state_dict().items() if k != "kept"} for each in stages
            ],
            "optimizer": trainer.optimizers[0].state_dict(),
            "data": trainer.datamodule.state_dict(),  # type: ignore[attr-defined]
            "metrics": dict(trainer.callback_metrics),
        }

    unbroken = run("unbroken")
    for epoch in (2, 4, 7):  # before a stage, between two, and before a stage is retried
        resumed = run(str(epoch), tmp_path / "unbroken" / f"{epoch}.ckpt")
        assert resumed.pop("plain") == unbroken["plain"]
        tensors = {k: v for k, v in unbroken.items() if k != "plain"}
        torch.testing.assert_close(resumed, tensors, rtol=0, atol=0)


def test_another_schedule_than_that_of_the_checkpoint_is_refused(tmp_path: Path) -> None:
    fit(Continuation("viscosity", {0: 0.4, 2: None}), folder=tmp_path / "first", epochs=4)
    with pytest.raises(ConfigurationError, match="written with another schedule of viscosity"):
        fit(
            Continuation("viscosity", {0: 0.3, 2: None}),
            folder=tmp_path / "second",
            start=tmp_path / "first" / "3.ckpt",
        )


@pytest.mark.parametrize(
    "change",
    [{"values": [0.4, "x"]}, {"index": 7}, {"starts": [0]}, {"values": None}, {"starts": 3}],
)
def test_a_malformed_plan_in_a_checkpoint_is_refused(change: dict[str, Any]) -> None:
    stages = Continuation("viscosity", {0: 0.4, 2: None})
    state = stages.state_dict()
    state["plan"] = {**StagePlan([0.4, 0.1], [0, 2]).state_dict(), **change}
    with pytest.raises(ConfigurationError, match=r"cannot resume Continuation\(viscosity\) from"):
        stages.load_state_dict(state)


# -- bad input ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Terminal(Burgers):
    """A condition at the end of time."""

    def conditions(self) -> list[Condition]:
        return [*super().conditions(), dirichlet("final", {"t": "high"})]


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        (Continuation("mass", [1.0, None]), "Burgers has no number 'mass' .* it has viscosity"),
        (Continuation("viscosity", [0.4, 0.2]), "ends at 0.2, but the equation has 0.1"),
        (Continuation("viscosity", [float("nan"), None]), "has the value nan"),
        (Continuation("viscosity", []), "is empty"),
        (Continuation("viscosity", [None, 0.1]), "only the last value may be null"),
        (Continuation("viscosity", [0.2, 0.2, None]), "has 0.2 twice"),
        (Continuation("viscosity", [99.0, None]), "viscosity"),
        (Continuation("viscosity", {0: 0.4, 9: None}), "names epoch 9, but max_epochs is 6"),
        (Continuation("viscosity", {2: 0.4, 3: None}), "begins at epoch 2"),
        (Continuation("viscosity", [9 - i for i in range(7)] + [None]), "8 stages, but max_ep"),
        (
            Continuation("viscosity", {0: 1.0, 2: None}, trigger=PeriodicTrigger(1)),
            "trigger chooses them",
        ),
        (Horizon([0.5, None], "z"), "needs a coordinate z, but Burgers has x, t"),
        (Horizon([0.5, 1.5]), "ends at 1.5, but the equation has 1"),
        (Horizon([0.0, None]), "has the end t = 0, but Burgers has t from 0 to 1"),
        (Horizon([0.5, 0.3, None]), "has the end t = 0.5 and then 0.3"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused_before_training(stages: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        fit(stages)


def test_a_horizon_with_a_condition_at_its_end_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="condition final of Terminal holds at the end"):
        fit(Horizon([0.5, None]), equation=Terminal(0.1))


@pytest.mark.parametrize("settings", [{"max_loss_growth": 1.0}, {"retries": -1}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        Continuation("viscosity", [1.0, None], **settings)


def test_data_without_an_equation_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Continuation needs data with a differential"):
        fit(
            Continuation("viscosity", [1.0, None]),
            data=SyntheticData("f4", samples=30, standardize=False),
            module=RegressionModule(1, 1, hidden=[2]),
        )


class Reaction(Equation):
    """A number as a plain attribute, an integer."""

    coordinates = ("x",)
    bounds = ((0.0, 1.0),)
    rate = 1

    def residual(self, u_x: Tensor, u: Tensor) -> Tensor:
        return u_x - self.rate * u

    def conditions(self) -> list[Condition]:
        return [dirichlet("start", {"x": "low"}, 1.0)]


def test_a_number_of_any_equation_can_change() -> None:
    equation = Reaction()
    stages = Continuation("rate", [0.5, None])
    changed = stages.changed(equation, 0.5)
    assert changed.rate == 0.5  # type: ignore[attr-defined]
    assert equation.rate == 1
    assert type(stages.changed(equation, 2.0).rate) is int  # type: ignore[attr-defined]
