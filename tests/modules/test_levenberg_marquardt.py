"""Levenberg-Marquardt under Lightning: logs, hooks, grids that grow, resume, the command line."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim.lr_scheduler import StepLR

import running
from kanlit.adaptation.optimizer_state import OptimizerState
from kanlit.callbacks import Checkpoint, GridAdaptationCallback
from kanlit.checkpoints import AtomicCheckpointIO
from kanlit.data import HelmholtzData, SyntheticData
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule, RegressionModule, Residual
from kanlit.modules.optimizers import check_optimizer
from kanlit.nn import KAN
from kanlit.optim import LevenbergMarquardt

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 12
trainer_for = partial(running.trainer_for, precision="64-true")


def make(**settings: Any) -> RegressionModule:
    torch.manual_seed(0)
    return RegressionModule(1, 1, hidden=[3], **{"optimizer": LevenbergMarquardt, **settings})


# -- what others see of a step ----------------------------------------------------------------


class Watch(Callback):
    """The loss before each step, and all that callbacks are told of it."""

    def __init__(self) -> None:
        self.before: list[float] = []
        self.outputs: list[float] = []
        self.logged: list[float] = []
        self.steps = self.zeroed = self.told = 0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        with torch.no_grad():
            self.before.append(float(module.loss(batch)))

    def on_train_batch_end(
        self, trainer: Trainer, module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        self.outputs.append(float(outputs["loss"]))
        self.logged.append(float(trainer.callback_metrics["train/loss"]))
        self.steps = trainer.global_step
        assert all(p.grad is None for p in module.parameters())

    def on_before_zero_grad(self, *_: Any) -> None:
        self.zeroed += 1

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        assert isinstance(optimizer, LevenbergMarquardt)
        self.told += 1


@pytest.mark.parametrize("batch_size", [None, 20])
def test_callbacks_and_logs_see_a_step_like_any_other(batch_size: int | None) -> None:
    watch, module = Watch(), make()
    data = SyntheticData("f4", samples=60, batch_size=batch_size, standardize=False)
    trainer_for(5, watch).fit(module, data)
    steps = 5 if batch_size is None else 15
    assert watch.steps == watch.zeroed == len(watch.outputs) == steps
    assert watch.told >= 2 * steps  # once an evaluation, as with L-BFGS
    assert watch.outputs == pytest.approx(watch.before, rel=1e-12)
    assert watch.logged == pytest.approx(watch.before, rel=1e-12)
    if batch_size is None:
        assert all(a < b for b, a in zip(watch.before, watch.before[1:], strict=False))


def test_an_equation_is_solved_with_its_boundary() -> None:
    torch.manual_seed(0)
    module = PDEModule(2, 1, hidden=[4], boundary_weight=10.0, optimizer=LevenbergMarquardt)
    data = HelmholtzData(points_per_axis=12, boundary_points=12)
    trainer = trainer_for(40, GridAdaptationCallback(schedule=[3, 6]))
    trainer.fit(module, data)
    assert trainer.test(module, data, verbose=False)[0]["test/rel_l2"] < 0.3


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_other_precisions_train_in_theirs(precision: Any) -> None:
    module, data = make(), SyntheticData("f4", samples=60, standardize=False)
    watch = Watch()
    trainer_for(20, watch, precision=precision).fit(module, data)
    assert watch.outputs[-1] < 1e-2 * watch.outputs[0]
    assert module.network.layers[0].knots.dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "module", "words"),
    [
        ({}, {"lr_scheduler": lambda o: StepLR(o, 1)}, "has no learning rate: remove lr_scheduler"),
        ({"gradient_clip_val": 1.0}, {}, "remove trainer.gradient_clip_val"),
        ({"accumulate_grad_batches": 2}, {}, "remove trainer.accumulate_grad_batches"),
        ({}, {"optimizer": lambda p: LevenbergMarquardt(p, ridge=-1)}, "^ridge must be at least"),
    ],
)
def test_settings_that_have_no_use_are_refused_before_training(
    settings: dict[str, Any], module: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        trainer_for(1, **settings).fit(
            make(**module), SyntheticData("f4", samples=20, standardize=False)
        )


def test_half_precision_with_a_scaler_is_refused() -> None:
    trainer: Any = SimpleNamespace(  # on a CPU Lightning takes bfloat16 instead
        gradient_clip_val=None, accumulate_grad_batches=1, precision="16-mixed"
    )
    optimizer = LevenbergMarquardt(KAN([1, 1]).parameters())
    with pytest.raises(ConfigurationError, match="precision 64-true or 32-true, got 16-mixed"):
        check_optimizer(optimizer, None, trainer)


# -- modules of one's own ---------------------------------------------------------------------


class WithoutLoss(RegressionModule):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.residuals(batch)["data"].values.square().mean()


def test_a_training_step_that_goes_its_own_way_is_refused() -> None:
    torch.manual_seed(0)
    module = WithoutLoss(1, 1, optimizer=LevenbergMarquardt)
    with pytest.raises(
        ConfigurationError, match=r"training_step of WithoutLoss must call self.loss"
    ):
        trainer_for(1).fit(module, SyntheticData("f4", samples=20, standardize=False))


class Plain(LightningModule):
    """No KANModule: optimised by hand, or automatically in vain."""

    def __init__(self, automatic: bool) -> None:
        super().__init__()
        self.automatic_optimization = automatic
        self.network = KAN([1, 3, 1])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        x, y = (t.double() for t in batch)
        if self.automatic_optimization:
            return (self.network(x) - y).square().mean()
        optimizer: Any = self.optimizers()
        loss = optimizer.step(lambda: {"data": Residual(self.network(x) - y)})
        self.log("loss", loss)
        return None

    def configure_optimizers(self) -> Any:
        return LevenbergMarquardt(self.parameters())


def test_a_module_of_ones_own_steps_by_manual_optimisation() -> None:
    torch.manual_seed(0)
    module, data = Plain(automatic=False), SyntheticData("f4", samples=60, standardize=False)
    losses = []
    trainer = trainer_for(15)
    module.on_train_batch_end = lambda *_: losses.append(  # type: ignore[method-assign]
        float(trainer.callback_metrics["loss"])
    )
    trainer.fit(module, train_dataloaders=data_loader(data))
    assert losses[-1] < 1e-2 * losses[0]
    assert trainer.global_step == 15


def test_automatic_optimisation_of_another_module_is_refused_with_the_cure() -> None:
    with pytest.raises(ConfigurationError, match="inherit from KANModule or use manual optim"):
        trainer_for(1).fit(
            Plain(automatic=True),
            train_dataloaders=data_loader(SyntheticData("f4", samples=20, standardize=False)),
        )


def data_loader(data: SyntheticData) -> Any:
    data.setup("fit")
    return data.train_dataloader()


# -- grids that grow, and resume --------------------------------------------------------------


class Dampings(Callback):
    """The damping at the end of each epoch."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.kept: list[bool] = []

    def on_grid_adaptation(self, trainer: Trainer, module: Any, report: Any) -> None:
        optimizer: Any = trainer.optimizers[0]
        held = optimizer.param_groups[0]["params"]
        self.kept.append(all(optimizer.state.get(p) for p in held))
        self.at.append(optimizer._damping(held)[0])


@pytest.mark.parametrize("policy", ["reset_changed", "reset_all", "keep"])
def test_the_damping_starts_anew_where_a_grid_has_moved(policy: OptimizerState) -> None:
    watch, module = Dampings(), make(optimizer=lambda p: LevenbergMarquardt(p, damping=0.25))
    adaptation = GridAdaptationCallback(schedule={0: 3, 6: 5}, optimizer_state=policy)
    trainer_for(10, adaptation, watch).fit(
        module, SyntheticData("f4", samples=60, standardize=False)
    )
    assert watch.kept == [False, policy == "keep"]
    assert (watch.at[1] == 0.25) == (policy != "keep")
    assert len(module.network.layers[0].coefficients[0, 0]) == 8
    (optimizer,) = [o for o in [module.optimizers()] if not isinstance(o, list)]
    assert len(optimizer.state) == 8


class Keep(Callback):
    """Keeps a copy of last.ckpt as it was after each third epoch."""

    def __init__(self, last: Path) -> None:
        self.last = last

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch - 1
        if self.last.is_file() and (epoch + 1) % 3 == 0:
            shutil.copy(self.last, self.last.with_name(f"{epoch}.ckpt"))


def fit(folder: Path, batch_size: int | None, precision: str, start: Path | None = None) -> Any:
    module = make(optimizer=lambda p: LevenbergMarquardt(p, ridge=1e-9))
    trainer = trainer_for(
        EPOCHS,
        GridAdaptationCallback(schedule={0: 3, 4: 5, 8: 7}),
        Keep(folder / "last.ckpt"),
        Checkpoint(dirpath=str(folder), every_n_epochs=3),
        plugins=[AtomicCheckpointIO()],
        precision=precision,
        check_val_every_n_epoch=2,
    )
    data = SyntheticData("f4", samples=90, batch_size=batch_size, standardize=False)
    with warnings.catch_warnings(action="ignore"):
        trainer.fit(module, data, ckpt_path=start)
    return dict(module.state_dict()), trainer.optimizers[0].state_dict()


@pytest.mark.parametrize(
    ("batch_size", "precision"), [(None, "64-true"), (30, "64-true"), (None, "32-true")]
)
def test_resumed_before_between_and_after_extensions_a_run_ends_the_same_to_the_last_bit(
    batch_size: int | None, precision: str, tmp_path: Path
) -> None:
    weights, optimizer = fit(tmp_path / "unbroken", batch_size, precision)
    sizes = set()
    for epoch in (2, 5, 8):
        start = tmp_path / "unbroken" / f"{epoch}.ckpt"
        saved = torch.load(start, weights_only=True)
        sizes.add(saved["state_dict"]["network.layers.0.knots"].shape)
        again, state = fit(tmp_path / str(epoch), batch_size, precision, start)
        assert state == optimizer
        assert list(again) == list(weights)
        assert all(torch.equal(again[name], weights[name]) for name in weights)
    assert len(sizes) == 3


# -- the command line -------------------------------------------------------------------------


@pytest.fixture
def run(command_line: Callable[[str], tuple[int, str, str]]) -> Callable[[str], str]:
    """All that a command line says."""
    return lambda words: "".join(command_line(words)[1:])


pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")
QUICK = (
    f"fit --config {ROOT}/configs/quickstart.yaml --trainer.max_epochs 45 "
    "--trainer.enable_progress_bar false --trainer.precision 64-true "
)


def error_in(summary: str) -> float:
    found = re.search(r"^relative L2: (\S+)", summary, re.MULTILINE)
    assert found, summary
    return float(found[1])


def test_the_quickstart_runs_with_it(run: Callable[[str], str]) -> None:
    name = "kanlit.optim.LevenbergMarquardt"
    printed = run(f"{QUICK} --model.optimizer {name} --model.optimizer.damping 0.1")
    assert error_in(printed) < 5e-3
    assert "grid size: G = 10" in printed
    assert "grids adapted, G = 6" in printed
    assert Path("lightning_logs/version_0/checkpoints/last.ckpt").is_file()
    kept = torch.load("lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)
    (optimizer,) = kept["optimizer_states"]
    assert optimizer["param_groups"][0]["damping"] == 0.1
    assert "relative L2" in run(f"{QUICK} --model.optimizer LevenbergMarquardt --ckpt_path last")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("--model.optimizer.ridge -1", "ridge must be at least 0, got -1.0"),
        (
            "--model.optimizer.lr 0.1",
            "unknown key --model.optimizer.lr: LevenbergMarquardt takes damping",
        ),
        ("--model.optimizer.memory 1e-6", "use torch.optim.LBFGS or torch.optim.Adam"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_cure(
    settings: str, words: str, run: Callable[[str], str]
) -> None:
    line = "fit --data SyntheticData --data.samples 50 --trainer.max_epochs 4"
    printed = run(f"{line} --model.optimizer kanlit.optim.LevenbergMarquardt {settings}")
    errors = [line for line in printed.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert words in errors[0]
    assert "Traceback" not in printed
