"""Grids follow the schedule while a real Trainer trains, and nothing else notices."""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kanlit.adaptation import (
    AdaptationReport,
    CurvatureDensity,
    ImportanceContext,
    ImportanceDensity,
    InputDensity,
    kan_layers,
)
from kanlit.callbacks import GridAdaptationCallback, grid_adaptation
from kanlit.callbacks.training_samples import GridAdaptable
from kanlit.data import HelmholtzData, SyntheticData
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule, RegressionModule
from kanlit.nn import KAN, KANLayer
from running import trainer_for

ADAM: Callable[[Any], torch.optim.Optimizer] = lambda p: torch.optim.Adam(p, lr=1e-2)  # noqa: E731


class Own(LightningModule):
    """A user's own module: KAN layers, and none of the callback's methods."""

    def __init__(self, optimizer: Callable[[Any], torch.optim.Optimizer] = ADAM) -> None:
        super().__init__()
        self.body = nn.Sequential(KANLayer(2, 3), nn.Tanh(), KANLayer(3, 1))
        self.make_optimizer = optimizer
        self.losses: list[float] = []
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x = batch[0] if isinstance(batch, (list, tuple)) else batch
        error = (self(x) - torch.sin(3 * x[:, :1]) * x[:, 1:]).square().mean()
        self.losses.append(float(error.detach()))
        self.seen.append(x.detach().clone())
        return error

    def configure_optimizers(self) -> Any:
        return self.make_optimizer(self.parameters())


class Recorder(Callback):
    """What the layers' G, the learning rates and the adaptations were."""

    def __init__(self) -> None:
        self.by_epoch: list[int] = []
        self.by_step: list[int] = []
        self.rates: list[float] = []
        self.reports: list[AdaptationReport] = []
        self.at: list[tuple[int, int]] = []

    @staticmethod
    def size(module: LightningModule) -> int:
        (size,) = {layer.grid_size for layer in kan_layers(module).values()}
        return size

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        self.by_step.append(self.size(pl_module))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.by_epoch.append(self.size(pl_module))

    def on_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> None:
        self.reports.append(report)
        self.at.append((trainer.current_epoch, trainer.global_step))


def samples(count: int = 64) -> Tensor:
    return 2 * torch.rand(count, 2, generator=torch.Generator().manual_seed(2)) - 1


def loader(batch_size: int = 64, **settings: Any) -> DataLoader[tuple[Tensor, ...]]:
    x = samples()
    return DataLoader(TensorDataset(x, x), batch_size=batch_size, **settings)


def fit(
    adaptation: GridAdaptationCallback,
    epochs: int = 6,
    module: LightningModule | None = None,
    data: Any = None,
    **settings: Any,
) -> Recorder:
    recorder = Recorder()
    trainer = trainer_for(epochs, adaptation, recorder, **settings)
    trainer.fit(module or Own(), loader() if data is None else data)
    return recorder


def regression(seed: int = 0, **settings: Any) -> RegressionModule:
    torch.manual_seed(seed)
    return RegressionModule(2, 1, hidden=[3], **settings)


# -- the schedule -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({0: 3, 2: 5, 4: 7}, [3, 3, 5, 5, 7, 7]),
        ({1: 5}, [3, 5, 5, 5, 5, 5]),
        ({5: 4}, [3, 3, 3, 3, 3, 4]),
        ([4, 6, 8], [4, 4, 6, 6, 8, 8]),
        ([5], [5] * 6),
        ([3, 6, 9, 12], [3, 6, 6, 9, 12, 12]),
        (None, [3, 6, 6, 9, 12, 12]),
    ],
)
def test_grid_size_of_each_epoch_is_what_the_schedule_says(
    schedule: dict[int, int] | list[int] | None, expected: list[int]
) -> None:
    assert fit(GridAdaptationCallback(schedule=schedule)).by_epoch == expected


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({0: 3, 3: 5, 4: 6}, [3, 3, 3, 5, 6, 6]),
        ([4, 6, 8], [4, 4, 6, 6, 8, 8]),
    ],
)
def test_grid_size_of_each_step_is_what_the_schedule_says(
    schedule: dict[int, int] | list[int], expected: list[int], accumulate: int
) -> None:
    adaptation = GridAdaptationCallback(schedule=schedule, interval="step")
    recorder = fit(
        adaptation,
        epochs=3,
        data=loader(batch_size=32 // accumulate),
        accumulate_grad_batches=accumulate,
    )
    assert recorder.by_step == [size for size in expected for _ in range(accumulate)]
    wanted = schedule if isinstance(schedule, dict) else {0: 4, 2: 6, 4: 8}
    assert [step for _, step in recorder.at] == list(wanted)


def test_steps_are_counted_over_max_steps_where_it_ends_the_run() -> None:
    adaptation = GridAdaptationCallback(schedule=[4, 6], interval="step")
    recorder = fit(adaptation, epochs=-1, data=loader(32), max_steps=4)
    assert recorder.by_step == [4, 4, 6, 6]


def test_each_entry_of_the_schedule_adapts_also_where_the_size_stays() -> None:
    recorder = fit(GridAdaptationCallback(schedule={0: 3, 2: 3, 3: 3}))
    assert [epoch for epoch, _ in recorder.at] == [0, 2, 3]


def test_a_schedule_of_epochs_needs_no_end_of_the_run() -> None:
    adaptation = GridAdaptationCallback(schedule={0: 3, 1: 5})
    assert fit(adaptation, epochs=-1, max_steps=3).by_epoch == [3, 5, 5]


def test_one_callback_serves_two_runs() -> None:
    adaptation = GridAdaptationCallback(schedule=[3, 6])
    assert fit(adaptation, epochs=2).by_epoch == [3, 6]
    assert fit(adaptation, epochs=4).by_epoch == [3, 3, 6, 6]


def test_one_callback_that_counts_steps_serves_two_runs() -> None:
    by_step = GridAdaptationCallback(schedule={0: 5}, interval="step")
    assert fit(by_step, epochs=1).by_epoch == [5]
    assert fit(by_step, epochs=1).by_epoch == [5]


# -- training goes on ---------------------------------------------------------------------------

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "Adam": ADAM,
    "SGD with momentum": lambda p: torch.optim.SGD(p, lr=2e-2, momentum=0.9),
    "LBFGS": lambda p: torch.optim.LBFGS(p, lr=0.5, max_iter=4),
}
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())


@each_optimizer
@pytest.mark.parametrize("policy", ["keep", "reset_changed", "reset_all"])
@pytest.mark.parametrize("extension", ["replace", "insert"])
def test_the_same_parameters_go_on_being_trained_and_the_loss_goes_on_falling(
    make: Callable[[Any], torch.optim.Optimizer], policy: Any, extension: Any
) -> None:
    module = Own(make)
    objects = dict(module.named_parameters())
    adaptation = GridAdaptationCallback(
        schedule={0: 3, 10: 6}, optimizer_state=policy, extension=extension
    )
    recorder = Recorder()
    trainer = trainer_for(30, adaptation, recorder)
    weights: list[Tensor] = []

    class Watch(Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            if trainer.current_epoch == 10:
                weights.extend(p.detach().clone() for p in module.parameters())

    trainer.callbacks.append(Watch())  # type: ignore[attr-defined]
    trainer.fit(module, loader())
    held = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    assert all(objects[name] is p and id(p) in held for name, p in module.named_parameters())
    for before, after in zip(weights, module.parameters(), strict=True):
        assert before.shape == after.shape
        assert not torch.equal(before, after)
    per_epoch = len(module.losses) // 30
    at_extension = module.losses[10 * per_epoch]
    assert min(module.losses[-per_epoch:]) < 0.9 * at_extension


def test_insertion_goes_unnoticed_by_the_loss() -> None:
    adaptation = GridAdaptationCallback(schedule={2: 6}, extension="insert")
    (report,) = fit(adaptation, 3, module=regression(), data=loader_of_pairs()).reports
    assert report.loss_after == pytest.approx(report.loss_before, rel=1e-5)


def on_f2(folder: Path | None = None, start: str | None = None, **settings: Any) -> Any:
    """Up to G = 100 on f2: state, reports of the extensions, callback; checkpoints in between."""
    torch.manual_seed(42)
    adaptation = GridAdaptationCallback(schedule={0: 3, 40: 6, 80: 50, 120: 100}, **settings)
    recorder, module = Recorder(), RegressionModule(1, 1, hidden=[5])
    keep = ModelCheckpoint(folder, "{epoch}", save_top_k=-1, every_n_epochs=30)
    kept = [] if folder is None else [keep]
    trainer = trainer_for(140, adaptation, recorder, *kept, enable_checkpointing=bool(kept))
    trainer.fit(
        module, datamodule=SyntheticData("f2", samples=100, standardize=False), ckpt_path=start
    )
    return module.state_dict(), recorder.reports[1:], adaptation


def test_no_extension_raises_the_loss_further_than_it_may(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid_adaptation, "_RISE", 1.01)
    _, free, replacing = on_f2()
    assert max(r.loss_after / r.loss_before for r in free) > 1.05
    assert replacing.inserted == 0
    assert sum(r.loss_after > 1.01 * r.loss_before for r in free) > 1
    assert capsys.readouterr().out.count(grid_adaptation.RISES) == 1  # explained once
    state, reports, adaptation = on_f2(tmp_path, insert_above=1.01)
    said = capsys.readouterr().out
    assert grid_adaptation.RISES not in said
    lines = [line for line in said.splitlines() if "grids adapted" in line]
    assert max(r.loss_after / r.loss_before for r in reports) <= 1.01
    inserted = [r.loss_replaced is not None for r in reports]
    assert 0 < sum(inserted) == adaptation.inserted < len(reports)  # only where it has to be
    assert [", knots inserted, " in line for line in lines[1:]] == inserted
    for epoch in (29, 59, 89):  # before, between and after them
        resumed, _, again = on_f2(start=str(tmp_path / f"epoch={epoch}.ckpt"), insert_above=1.01)
        assert again.inserted == adaptation.inserted
        for name, value in state.items():
            assert torch.equal(value, resumed[name]), (epoch, name)


@pytest.mark.parametrize("policy", ["keep", "reset_changed", "reset_all"])
def test_learning_rate_schedule_goes_on_across_adaptations(policy: Any) -> None:
    class Decays(Own):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.Adam(self.parameters(), lr=1.0)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]

    adaptation = GridAdaptationCallback(schedule={0: 3, 2: 5, 3: 7}, optimizer_state=policy)
    assert fit(adaptation, module=Decays()).rates == [0.5**n for n in range(6)]


class MomentsAfter(Callback):
    """The parameters that the optimiser holds moments of right after the adaptation of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.names: set[str] = set()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.current_epoch == self.epoch and batch_idx == 0:
            state = trainer.optimizers[0].state
            self.names = {name for name, p in pl_module.named_parameters() if p in state}


@pytest.mark.parametrize("policy", ["keep", "reset_changed", "reset_all"])
def test_moments_are_kept_or_dropped_as_asked(policy: Any) -> None:
    moments, module = MomentsAfter(3), Own()
    adaptation = GridAdaptationCallback(schedule={3: 6}, optimizer_state=policy)
    trainer_for(4, adaptation, moments).fit(module, loader())
    every = {name for name, _ in module.named_parameters()}
    splines = {name for name in every if name.endswith("coefficients")}
    assert moments.names == {"keep": every, "reset_changed": every - splines}.get(policy, set())


# -- what is told -------------------------------------------------------------------------------


def loader_of_pairs(dtype: torch.dtype = torch.float32) -> DataLoader[tuple[Tensor, ...]]:
    x = samples().to(dtype)
    return DataLoader(TensorDataset(x, torch.sin(3 * x[:, :1]) * x[:, 1:]), batch_size=64)


def test_each_adaptation_is_one_line_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    schedule = {0: 3, 2: 5}
    fit(GridAdaptationCallback(schedule=schedule), module=regression(), data=loader_of_pairs())
    lines = [line for line in capsys.readouterr().out.splitlines() if "grids adapted" in line]
    assert len(lines) == 2
    number = r"\d\.\d+e[-+]\d\d"
    for line, (epoch, size) in zip(lines, schedule.items(), strict=True):
        pattern = (
            rf"epoch {epoch}: grids adapted, G = {size}, refit error {number}, "
            rf"loss {number} -> {number}"
        )
        assert re.fullmatch(pattern, line), line
        assert len(line) <= 75  # 80 with an epoch of six digits


def test_a_module_without_a_loss_of_a_batch_says_that_none_was_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit(GridAdaptationCallback(schedule={0: 3}))
    assert "loss not measured (no loss(batch))" in capsys.readouterr().out


def test_other_callbacks_are_told_of_each_adaptation() -> None:
    recorder = fit(
        GridAdaptationCallback(schedule={0: 3, 2: 5}), module=regression(), data=loader_of_pairs()
    )
    assert [epoch for epoch, _ in recorder.at] == [0, 2]
    assert [report.grid_size for report in recorder.reports] == [3, 5]
    for report in recorder.reports:
        assert report.loss_before is not None
        assert [layer.name for layer in report.layers] == ["layers.0", "layers.1"]


def test_loss_of_the_report_is_the_training_loss() -> None:
    module = regression()
    batch = next(iter(loader_of_pairs()))
    before = float(module.loss(batch).detach())
    recorder = fit(GridAdaptationCallback(schedule={0: 3}), 1, module, loader_of_pairs())
    assert recorder.reports[0].loss_before == pytest.approx(before, rel=1e-6)


# -- a density that fails -----------------------------------------------------------------------


class NaNAt(InputDensity):
    """NaN at the second layer of these adaptations."""

    def __init__(self, *failing: int) -> None:
        self.failing = failing
        self.asked = 0

    def __call__(self, context: ImportanceContext) -> Tensor:
        weights = super().__call__(context)
        adaptation, layer = divmod(self.asked, 2)
        self.asked += 1
        if layer == 1 and adaptation in self.failing:
            self.asked = 2 * (adaptation + 1)
            weights[0] = torch.nan
        return weights


def test_an_adaptation_that_fails_is_undone_with_one_warning_and_training_goes_on() -> None:
    def run(adaptation: GridAdaptationCallback) -> tuple[Own, Recorder]:
        torch.manual_seed(0)
        module = Own()
        return module, fit(adaptation, 4, module)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        failed, recorder = run(GridAdaptationCallback(NaNAt(1), {0: 3, 2: 6}))
    undone = [str(w.message) for w in caught if "was rolled back" in str(w.message)]
    assert len(undone) == 1
    assert undone[0].startswith("grid adaptation at epoch 2 was rolled back, training continues")
    assert "weights must be finite" in undone[0]
    assert recorder.by_epoch == [3, 3, 3, 3]
    assert len(recorder.reports) == 1
    # As if it had not been asked for: moments and all.
    plain, _ = run(GridAdaptationCallback(InputDensity(), {0: 3}))
    assert failed.losses == plain.losses
    for one, two in zip(failed.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_the_next_adaptation_makes_up_for_one_that_failed() -> None:
    with pytest.warns(UserWarning, match="was rolled back"):
        recorder = fit(GridAdaptationCallback(NaNAt(0), {0: 5, 2: 6}), 4)
    assert recorder.by_epoch == [3, 3, 6, 6]


class WrongShape(ImportanceDensity):
    def __call__(self, context: ImportanceContext) -> Tensor:
        return torch.ones(3)


def test_weights_of_a_wrong_shape_are_refused_before_training() -> None:
    untrained(GridAdaptationCallback(WrongShape(), {2: 5}), r"layer body.0: .*weights.*\(3,\)")


class NeedsLosses(ImportanceDensity):
    """A user's own: importance is the loss."""

    def __init__(self, floor: float = 0.0) -> None:
        self.floor = floor
        self.seen: list[Tensor] = []

    def __call__(self, context: ImportanceContext) -> Tensor:
        if context.sample_losses is None:
            raise ConfigurationError("NeedsLosses needs sample_losses(batch) of the module")
        self.seen.append(context.sample_losses)
        return context.sample_losses + self.floor


def test_a_density_that_lacks_what_it_needs_ends_the_run_with_its_message() -> None:
    with pytest.raises(ConfigurationError, match=r"needs sample_losses\(batch\)"):
        fit(GridAdaptationCallback(NeedsLosses(), {0: 3}))


def test_a_density_of_the_user_s_own_gets_the_samples_losses() -> None:
    module, batch = regression(), next(iter(loader_of_pairs()))
    expected = module.sample_losses(batch).detach()
    density = NeedsLosses(1e-3)
    recorder = fit(GridAdaptationCallback(density, {0: 5}), 2, module, loader_of_pairs())
    assert recorder.by_epoch == [5, 5]
    assert len(density.seen) == 2  # one for each layer
    torch.testing.assert_close(density.seen[0], expected)


# -- modules and batches of any kind ------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        loader(),
        loader(16),
        DataLoader(samples(), batch_size=24),  # type: ignore[arg-type]
        DataLoader(TensorDataset(samples()), batch_size=64),
    ],
    ids=["tuple", "mini-batches", "tensor", "one-tuple"],
)
@pytest.mark.parametrize("density", [InputDensity(), CurvatureDensity(), CurvatureDensity("layer")])
def test_a_user_s_own_module_is_adapted_to_all_of_its_samples(
    data: Any, density: ImportanceDensity
) -> None:
    module = Own()
    assert not isinstance(module, GridAdaptable)
    recorder = fit(GridAdaptationCallback(density, {1: 5}), 2, module, data)
    (report,) = recorder.reports
    assert recorder.by_epoch == [3, 5]
    assert [layer.name for layer in report.layers] == ["body.0", "body.2"]
    torch.testing.assert_close(report.layers[0].samples, samples(), rtol=0, atol=0)


class WithCriterion(Own):
    """As many modules have it: the criterion is an attribute named loss."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = nn.MSELoss()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return self.loss(self(x), y)


class WithLossOfTwo(Own):
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).square().mean()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return self.loss(self(x), y)


@pytest.mark.parametrize("make", [WithCriterion, WithLossOfTwo])
def test_a_loss_that_is_not_one_of_a_batch_is_not_taken_for_one(
    make: Callable[[], Own], capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = fit(GridAdaptationCallback(schedule={0: 5}), 1, make(), loader_of_pairs())
    assert recorder.by_epoch == [5]
    assert "loss not measured" in capsys.readouterr().out


class DictBatches(Own):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch["x"], batch_idx)


class Adaptable(DictBatches):
    """The cure that the message names."""

    def __init__(self) -> None:
        super().__init__()
        self.network = self.body

    def adaptation_inputs(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["x"]


def dict_loader() -> DataLoader[Any]:
    return DataLoader([{"x": x} for x in samples()], batch_size=32)  # type: ignore[arg-type]


def test_batches_whose_inputs_cannot_be_told_are_refused_with_the_cure() -> None:
    with pytest.raises(ConfigurationError) as caught:
        fit(GridAdaptationCallback(schedule={0: 3}), 1, DictBatches(), dict_loader())
    message = str(caught.value)
    assert "batch of type dict" in message
    assert "define adaptation_inputs(batch) and an attribute network in DictBatches" in message
    assert "\n" not in message


def test_a_module_that_says_what_its_network_sees_is_adapted() -> None:
    module = Adaptable()
    assert isinstance(module, GridAdaptable)
    recorder = fit(GridAdaptationCallback(schedule={0: 5}), 1, module, dict_loader())
    torch.testing.assert_close(recorder.reports[0].layers[0].samples, samples(), rtol=0, atol=0)


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_training_sees_the_same_batches_and_draws_as_without_adaptation(interval: Any) -> None:
    class Draws(Own):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            self.drawn.append((torch.rand(1).item(), np.random.rand(), random.random()))  # noqa: NPY002
            return super().training_step(batch, batch_idx)

        def on_fit_start(self) -> None:
            self.drawn: list[tuple[float, float, float]] = []

    def run(*callbacks: Callback) -> Draws:
        torch.manual_seed(7)
        np.random.seed(7)  # noqa: NPY002
        random.seed(7)
        module = Draws()
        trainer_for(3, *callbacks).fit(module, loader(16, shuffle=True))
        return module

    schedule = {0: 3, 1: 3, 2: 3} if interval == "epoch" else {0: 3, 5: 3, 6: 3}
    plain = run()
    adapted = run(GridAdaptationCallback(schedule=schedule, interval=interval))
    assert adapted.drawn == plain.drawn
    for one, two in zip(plain.seen, adapted.seen, strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(plain.seen[0], plain.seen[4])


def test_training_sees_the_same_batches_where_the_loader_has_a_generator_of_its_own() -> None:
    def run(*callbacks: Callback) -> Own:
        module = Own()
        generator = torch.Generator().manual_seed(11)
        data = loader(16, shuffle=True, generator=generator)
        trainer_for(3, *callbacks).fit(module, data)
        return module

    plain, adapted = run(), run(GridAdaptationCallback(schedule={0: 3, 1: 3}))
    for one, two in zip(plain.seen, adapted.seen, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("interval", "schedule"), [("epoch", {0: 3, 1: 5}), ("step", {0: 3, 2: 5})]
)
def test_workers_that_persist_give_every_batch_to_training(
    interval: Any, schedule: dict[int, int]
) -> None:
    module = Own()
    data = loader(16, num_workers=1, persistent_workers=True)
    fit(GridAdaptationCallback(schedule=schedule, interval=interval), 2, module, data)
    expected = [*samples().split(16)] * 2
    assert len(module.seen) == len(expected)
    for one, two in zip(module.seen, expected, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(("limit", "expected"), [(10, 10), (16, 16), (40, 40), (1000, 64)])
def test_no_more_samples_than_asked_are_used(limit: int, expected: int) -> None:
    density = NeedsLosses(1.0)
    adaptation = GridAdaptationCallback(density, {0: 3}, max_samples=limit)
    x, y = next(iter(loader_of_pairs()))
    data = DataLoader(TensorDataset(x, y), batch_size=16)
    recorder = fit(adaptation, 1, regression(), data)
    assert recorder.reports[0].layers[0].samples.shape == (expected, 2)
    assert {len(losses) for losses in density.seen} == {expected}
    torch.testing.assert_close(recorder.reports[0].layers[0].samples, x[:expected])


@pytest.mark.parametrize("make", [Own, regression])
def test_double_precision_stays_double(make: Callable[[], LightningModule]) -> None:
    module = make()
    adaptation = GridAdaptationCallback(schedule={0: 3, 1: 5})
    recorder = fit(adaptation, 3, module, loader_of_pairs(), precision="64-true")
    assert recorder.by_epoch == [3, 5, 5]
    for layer in kan_layers(module).values():
        assert layer.knots.dtype == torch.float64
        assert layer.coefficients.dtype == torch.float64
    assert recorder.reports[1].layers[0].samples.dtype == torch.float64


@pytest.mark.parametrize("density", [InputDensity(), CurvatureDensity()])
def test_kanlit_s_own_modules_are_adapted_to_their_data(density: ImportanceDensity) -> None:
    torch.manual_seed(0)
    pde = PDEModule(2, 1, hidden=[3])
    data = HelmholtzData(points_per_axis=8, boundary_points=4)
    recorder = Recorder()
    trainer_for(3, GridAdaptationCallback(density, [3, 5, 7]), recorder).fit(pde, datamodule=data)
    assert recorder.by_epoch == [3, 5, 7]
    assert recorder.reports[0].layers[0].samples.shape == (64, 2)
    assert isinstance(pde, GridAdaptable)
    module = RegressionModule(1, 1, hidden=[3])
    recorder = Recorder()
    trainer_for(3, GridAdaptationCallback(density, [3, 5, 7]), recorder).fit(
        module, datamodule=SyntheticData("f4", samples=100, standardize=False)
    )
    assert recorder.by_epoch == [3, 5, 7]


def test_adapt_can_be_called_by_hand_in_a_run() -> None:
    adaptation = GridAdaptationCallback(schedule={0: 3})

    class ByHand(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            report = adaptation.adapt(trainer, pl_module, 4 + trainer.current_epoch)
            assert report.failure is None
            assert report.grid_size == 4 + trainer.current_epoch

    recorder = Recorder()
    trainer_for(3, adaptation, ByHand(), recorder).fit(Own(), loader())
    assert recorder.by_epoch == [4, 5, 6]


# -- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": {}}, "schedule is empty"),
        ({"schedule": [6, 3]}, "decreases from G = 6 to 3"),
        ({"schedule": {0: 0}}, "G = 0"),
        ({"schedule": {-1: 3}}, "before 0"),
        ({"max_samples": 0}, "max_samples must be at least 1, got 0"),
        ({"uniform_mix": 1.5}, r"uniform_mix .*1\.5"),
        ({"uniform_mix": -0.1}, r"uniform_mix .*-0\.1"),
        ({"least_gap": 0.0}, r"least_gap .*0"),
        ({"least_gap": 2.0}, r"least_gap .*2"),
        ({"margin": -0.5}, r"margin .*-0\.5"),
        ({"margin": float("inf")}, r"margin .*inf"),
        ({"interval": "batch"}, "interval .*'batch'"),
        ({"extension": "grow"}, "extension .*'grow'"),
        ({"insert_above": 0.99}, r"insert_above must be at least 1 and finite, got 0\.99"),
        ({"insert_above": float("inf")}, "insert_above .* got inf: try 1.01, or null"),
        ({"insert_above": float("nan")}, "insert_above .* got nan"),
        ({"refit": "spline"}, "refit .*'spline'"),
        ({"optimizer_state": "drop"}, "optimizer_state .*'drop'"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_training(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        GridAdaptationCallback(**settings)
    assert "\n" not in str(caught.value)


def untrained(adaptation: GridAdaptationCallback, message: str, **settings: Any) -> None:
    module = settings.pop("module", None) or Own()
    epochs = settings.pop("epochs", 6)
    with pytest.raises(ConfigurationError, match=message) as caught:
        fit(adaptation, epochs, module, **settings)
    assert "\n" not in str(caught.value)
    assert not getattr(module, "losses", [])


@pytest.mark.parametrize("latest", [6, 500])
def test_an_epoch_beyond_the_run_is_refused_before_training(latest: int) -> None:
    adaptation = GridAdaptationCallback(schedule={0: 3, latest: 6})
    untrained(adaptation, f"names epoch {latest}, but max_epochs is 6: raise trainer.max_epochs")


def test_a_step_beyond_the_run_is_refused_before_training() -> None:
    adaptation = GridAdaptationCallback(schedule={0: 3, 12: 6}, interval="step")
    untrained(adaptation, "names step 12, but max_steps is 12", data=loader(32))


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_a_list_without_an_end_of_the_run_is_refused_before_training(interval: Any) -> None:
    adaptation = GridAdaptationCallback(schedule=[3, 6], interval=interval)
    message = rf"max_{interval}s is not set: set trainer\.max_{interval}s"
    settings = {"max_time": "00:00:00:05"}
    untrained(adaptation, message, epochs=-1, **settings)


def test_a_module_without_kan_layers_is_refused_before_training() -> None:
    module = Own()
    module.body = nn.Sequential(nn.Linear(2, 1))
    untrained(GridAdaptationCallback(), "Own has no KANLayer", module=module)


def test_a_density_that_cannot_work_on_the_network_is_refused_before_training() -> None:
    module = Own()
    module.body[2] = KANLayer(3, 1, spline_order=1)
    untrained(GridAdaptationCallback(CurvatureDensity()), r"degree 1 in body\.2", module=module)


# -- resuming -----------------------------------------------------------------------------------


@each_optimizer
@pytest.mark.parametrize("policy", ["keep", "reset_changed"])
def test_a_run_resumed_at_any_epoch_ends_bit_by_bit_where_the_unbroken_run_does(
    make: Callable[[Any], torch.optim.Optimizer], policy: Any, tmp_path: Path
) -> None:
    def module() -> RegressionModule:
        return regression(
            optimizer=make, lr_scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5)
        )

    def adaptation() -> GridAdaptationCallback:
        return GridAdaptationCallback(schedule={0: 3, 2: 5, 4: 8}, optimizer_state=policy)

    keep = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    whole = module()
    trainer_for(6, adaptation(), keep, enable_checkpointing=True).fit(whole, loader_of_pairs())
    expected = whole.state_dict()
    assert kan_layers(whole)["network.layers.0"].grid_size == 8
    for epoch in range(5):
        resumed = module()
        with torch.no_grad():  # nothing may come from the fresh module
            for parameter in resumed.parameters():
                parameter.add_(1)
        trainer = trainer_for(6, adaptation(), enable_checkpointing=False)
        trainer.fit(resumed, loader_of_pairs(), ckpt_path=str(tmp_path / f"epoch={epoch}.ckpt"))
        assert trainer.current_epoch == 6
        for name, value in resumed.state_dict().items():
            assert torch.equal(value, expected[name]), (epoch, name)


def test_a_run_resumed_within_an_epoch_adapts_as_the_unbroken_run_does(tmp_path: Path) -> None:
    def pairs() -> DataLoader[tuple[Tensor, ...]]:
        # Four batches alike: a plain loader cannot be resumed within an epoch.
        x = samples(16).repeat(4, 1)
        return DataLoader(TensorDataset(x, torch.sin(3 * x[:, :1]) * x[:, 1:]), batch_size=16)

    def adaptation() -> GridAdaptationCallback:
        return GridAdaptationCallback(schedule={0: 3, 3: 5, 6: 8}, interval="step")

    keep = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
    whole = regression()
    trainer_for(2, adaptation(), keep, enable_checkpointing=True).fit(whole, pairs())
    for step in (2, 3, 4, 6, 7):
        resumed = regression(1)
        trainer_for(2, adaptation()).fit(
            resumed, pairs(), ckpt_path=str(tmp_path / f"step={step}.ckpt")
        )
        for name, value in whole.state_dict().items():
            assert torch.equal(resumed.state_dict()[name], value), (step, name)


def test_a_network_inside_another_is_found() -> None:
    class Nested(Own):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(2, 2), KAN([2, 3, 1]))

    assert fit(GridAdaptationCallback(schedule={0: 5}), 1, Nested()).by_epoch == [5]
