"""Triggers, undone adaptations and warnings by name, in real runs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from kanlit.adaptation import (
    AdaptationReport,
    AllTrigger,
    AnyTrigger,
    CurvatureDensity,
    ImportanceContext,
    InputDensity,
    Observation,
    PeriodicTrigger,
    PlateauTrigger,
    Trigger,
    kan_layers,
)
from kanlit.callbacks import GridAdaptationCallback, KnotPlotCallback
from kanlit.cli import main
from kanlit.data import TensorLoader
from kanlit.errors import ConfigurationError
from kanlit.modules import RegressionModule
from running import trainer_for


def pairs(batch_size: int = 64, count: int = 64) -> DataLoader[tuple[Tensor, ...]]:
    x = 2 * torch.rand(count, 2, generator=torch.Generator().manual_seed(2)) - 1
    return DataLoader(TensorDataset(x, torch.sin(3 * x[:, :1]) * x[:, 1:]), batch_size=batch_size)


def regression(lr: float = 1e-2, seed: int = 0) -> RegressionModule:
    torch.manual_seed(seed)
    return RegressionModule(2, 1, hidden=[3], optimizer=lambda p: torch.optim.Adam(p, lr=lr))


class Recorder(Callback):
    """The loss of each training step, G of each epoch, and when grids were adapted."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.sizes: list[int] = []
        self.at: list[tuple[int, int]] = []  # epoch or step, G

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.losses.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.sizes.append(max(layer.grid_size for layer in kan_layers(pl_module).values()))

    def on_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> None:
        self.at.append((trainer.current_epoch, report.grid_size))


def fit(
    adaptation: GridAdaptationCallback,
    epochs: int,
    module: LightningModule | None = None,
    data: Any = None,
    **settings: Any,
) -> Recorder:
    recorder = Recorder()
    trainer = trainer_for(epochs, adaptation, recorder, **settings)
    trainer.fit(module or regression(), data or pairs())
    return recorder


class Watching(Trigger):
    """A user's own: fires when told to, and keeps what it saw."""

    def __init__(self, *at: int) -> None:
        self.at = at
        self.seen: list[Observation] = []

    def fires(self, observation: Observation) -> bool:
        self.seen.append(observation)
        return observation.time in self.at


# -- when ---------------------------------------------------------------------------------------

# With a learning rate of zero the loss stands still, and plateaus come by the clock.
RUNS: dict[str, tuple[Callable[[], Trigger], list[int]]] = {
    "periodic": (lambda: PeriodicTrigger(3, start=1), [1, 4, 7, 10]),
    "plateau": (lambda: PlateauTrigger(2, 0.05, cooldown=1), [0, 3, 7, 11]),
    "plateau, not at the start": (lambda: PlateauTrigger(2, 0.05, 3, at_start=False), [3, 9]),
    "any": (lambda: AnyTrigger([PeriodicTrigger(5), PlateauTrigger(8, 0.05, 9)]), [0, 5, 9, 10]),
    "all": (lambda: AllTrigger([PeriodicTrigger(2), PeriodicTrigger(5)]), [0, 5, 10]),
    "own": (lambda: Watching(2, 3, 9), [2, 3, 9]),
}  # fmt: skip
each_run = pytest.mark.parametrize(("make", "expected"), RUNS.values(), ids=RUNS.keys())


@each_run
def test_each_firing_takes_the_next_size_and_after_the_last_it_only_adapts(
    make: Callable[[], Trigger], expected: list[int]
) -> None:
    adaptation = GridAdaptationCallback(
        InputDensity(), [4, 6, 7], make(), extension="insert", max_loss_growth=10
    )
    # The first regrid moves the loss a little; what counts as a plateau does not see it.
    recorder = fit(adaptation, 12, regression(lr=0.0))
    sizes = [4, 6, 7, 7, 7, 7]
    assert recorder.at == list(zip(expected, sizes, strict=False))


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize(("batch_size", "accumulate"), [(64, 1), (16, 1), (16, 2), (8, 4)])
def test_a_trigger_sees_the_mean_training_loss_since_it_was_last_asked(
    interval: Any, batch_size: int, accumulate: int
) -> None:
    trigger = Watching()
    adaptation = GridAdaptationCallback(InputDensity(), [3], trigger, interval=interval)
    recorder = fit(adaptation, 3, data=pairs(batch_size), accumulate_grad_batches=accumulate)
    each = 64 // batch_size if interval == "epoch" else accumulate
    means = torch.tensor(recorder.losses).double().unflatten(0, (-1, each)).mean(1)
    assert [o.time for o in trigger.seen] == list(range(len(means)))
    assert trigger.seen[0].loss is None
    got = torch.tensor([o.loss for o in trigger.seen[1:]], dtype=torch.float64)
    torch.testing.assert_close(got, means[:-1], rtol=1e-6, atol=0)


@pytest.mark.parametrize(("batch_size", "accumulate"), [(16, 1), (8, 2)])
def test_a_trigger_by_the_step_fires_within_epochs(batch_size: int, accumulate: int) -> None:
    adaptation = GridAdaptationCallback(InputDensity(), [4, 5], PeriodicTrigger(3), interval="step")
    recorder = fit(adaptation, 2, data=pairs(batch_size), accumulate_grad_batches=accumulate)
    assert recorder.at == [(0, 4), (0, 5), (1, 5)]  # steps 0, 3 and 6, four to an epoch


def test_a_plateau_of_a_real_run_extends_the_grid_and_the_loss_falls_again() -> None:
    adaptation = GridAdaptationCallback(
        schedule=[3, 6, 12], trigger=PlateauTrigger(patience=10, threshold=0.2, cooldown=10)
    )
    recorder = fit(adaptation, 400, regression(lr=2e-2), pairs(256, 256))
    epochs = [epoch for epoch, _ in recorder.at]
    assert [size for _, size in recorder.at][:3] == [3, 6, 12]
    assert epochs[0] == 0
    assert all(later - earlier >= 20 for earlier, later in pairwise(epochs[1:]))
    assert recorder.losses[-1] < 0.8 * recorder.losses[epochs[1] - 1]


def test_one_callback_serves_two_runs() -> None:
    trigger = PlateauTrigger(2, cooldown=0, at_start=False)
    adaptation = GridAdaptationCallback(InputDensity(), [4, 6], trigger, extension="insert")
    first = fit(adaptation, 4, regression(lr=0.0))
    assert first.at == [(3, 4)]
    assert fit(adaptation, 4, regression(lr=0.0)).at == first.at


# -- resuming -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: PlateauTrigger(3, 0.9, 2),
        lambda: PeriodicTrigger(4),
        lambda: AllTrigger([PlateauTrigger(2, 0.9, 1), PeriodicTrigger(3)]),
    ],
    ids=["plateau", "periodic", "all"],
)
def test_a_run_resumed_in_the_middle_of_a_count_ends_bit_by_bit_where_the_unbroken_run_does(
    make: Callable[[], Trigger], tmp_path: Path
) -> None:
    def adaptation() -> GridAdaptationCallback:
        return GridAdaptationCallback(schedule=[3, 5, 6, 8], trigger=make())

    keep = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    whole, recorder = regression(), Recorder()
    trainer = trainer_for(16, adaptation(), keep, recorder, enable_checkpointing=True)
    trainer.fit(whole, pairs(16))
    assert len(recorder.at) >= 3
    expected = whole.state_dict()
    for epoch in (1, 4, 6, 11):
        resumed = regression(seed=1)
        path = tmp_path / f"epoch={epoch}.ckpt"
        torch.load(path, weights_only=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`")
            trainer_for(16, adaptation()).fit(resumed, pairs(16), ckpt_path=str(path))
        for name, value in resumed.state_dict().items():
            assert torch.equal(value, expected[name]), (epoch, name)


def test_a_checkpoint_of_another_trigger_is_told_and_the_new_one_starts_afresh(
    tmp_path: Path,
) -> None:
    trainer = trainer_for(2, GridAdaptationCallback(schedule=[3], trigger=PeriodicTrigger(2)))
    trainer.fit(regression(), pairs())
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    other = GridAdaptationCallback(schedule=[3], trigger=PlateauTrigger())
    words = r"written with PeriodicTrigger, but this run has PlateauTrigger, which starts from its"
    with pytest.warns(UserWarning, match=words):
        trainer_for(3, other).fit(regression(), pairs(), ckpt_path=str(tmp_path / "one.ckpt"))


# -- undone adaptations -------------------------------------------------------------------------


class Counts(InputDensity):
    """Has a state, which an adaptation changes."""

    count = 0

    def __call__(self, context: ImportanceContext) -> Tensor:
        self.count += 1
        return super().__call__(context)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


class Suffers(RegressionModule):
    """Its loss leaps when the grid is extended before an epoch."""

    def __init__(self, until: int, optimizer: Any = lambda p: torch.optim.Adam(p, lr=1e-2)) -> None:
        torch.manual_seed(0)
        super().__init__(2, 1, hidden=[3], optimizer=optimizer)
        self.until = until

    def loss(self, batch: Any) -> Tensor:
        extended = max(layer.grid_size for layer in kan_layers(self).values()) > 3
        early = self.trainer.current_epoch < self.until
        return super().loss(batch) * (1e6 if extended and early else 1.0)


def counting(schedule: Any, **settings: Any) -> GridAdaptationCallback:
    return GridAdaptationCallback(Counts(), schedule, **settings)


@pytest.mark.parametrize("optimizer_state", ["keep", "reset_changed", "reset_all"])
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.Adam(p, lr=1e-2),
        lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
        lambda p: torch.optim.LBFGS(p, lr=0.5, max_iter=4),
    ],
    ids=["Adam", "SGD", "LBFGS"],
)
def test_an_adaptation_that_raises_the_loss_is_as_if_it_had_not_been(
    optimizer: Any, optimizer_state: Any
) -> None:
    def run(*callbacks: Callback) -> tuple[RegressionModule, Trainer]:
        module = Suffers(99, optimizer)
        trainer = trainer_for(12, *callbacks)
        trainer.fit(module, pairs())
        return module, trainer

    adaptation = counting({4: 5, 8: 7}, optimizer_state=optimizer_state)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        undone, trainer = run(adaptation)
    texts = [str(w.message) for w in caught if "rolled back" in str(w.message)]
    assert len(texts) == 2
    for text, epoch in zip(texts, (4, 8), strict=True):
        assert text.startswith(f"grid adaptation at epoch {epoch}")
        assert "was rolled back, training continues with the old knots: the loss grew from" in text
        assert "the largest refit error is" in text
        assert "in layer layers." in text
    assert adaptation.undone == 2
    assert adaptation.density.state_dict() == {"count": 0}
    plain, without = run()
    for name, value in undone.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name]), name
    left, right = (t.optimizers[0].state_dict()["state"] for t in (trainer, without))
    assert left.keys() == right.keys()
    for place in left:
        for key, value in left[place].items():
            if isinstance(value, Tensor):
                assert torch.equal(value, right[place][key])


def test_an_undone_adaptation_does_not_use_up_the_size_that_was_due() -> None:
    adaptation = counting([4, 7], trigger=PeriodicTrigger(2))
    with pytest.warns(UserWarning, match="was rolled back"):
        recorder = fit(adaptation, 10, Suffers(5))
    assert recorder.at == [(6, 4), (8, 7)]
    assert adaptation.undone == 3
    assert adaptation.density.state_dict() == {"count": 4}


class LogsScalars(KnotPlotCallback):
    def plot(self, *args: Any) -> None: ...


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize("kind", [TensorBoardLogger, CSVLogger])
def test_undone_adaptations_and_health_are_scalars_of_every_logger(
    kind: Callable[..., Logger], interval: Any, tmp_path: Path
) -> None:
    adaptation = counting({0: 3, 2: 7, 4: 8}, interval=interval)
    logger = kind(tmp_path)
    trainer = trainer_for(6, adaptation, LogsScalars(), logger=logger)
    with pytest.warns(UserWarning, match="was rolled back"):
        trainer.fit(Suffers(99), pairs())
    assert adaptation.undone == 2
    assert logger.log_dir is not None
    if kind is TensorBoardLogger:
        events = EventAccumulator(logger.log_dir)
        events.Reload()
        assert [(e.step, e.value) for e in events.Scalars("grid/undone")] == [(2, 1), (4, 2)]
        names = set(events.Tags()["scalars"])
    else:
        lines = Path(logger.log_dir, "metrics.csv").read_text().splitlines()
        names = set(lines[0].split(","))
        column = lines[0].split(",").index("grid/undone")
        cells = [line.split(",")[column] for line in lines[1:]]
        assert [float(cell) for cell in cells if cell] == [1, 2]
    assert {"grid/effective_samples", "grid/edge_coverage", "grid/displacement"} <= names


class DearEnds(RegressionModule):
    """Its loss doubles where a grid has other ends than at first: insertion keeps them."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(2, 1, hidden=[3])
        self.ends = self.ends_now()

    def ends_now(self) -> Tensor:
        return torch.cat([layer.breakpoints[:, [0, -1]] for layer in kan_layers(self).values()])

    def loss(self, batch: Any) -> Tensor:
        return super().loss(batch) * (1.0 if torch.equal(self.ends, self.ends_now()) else 2.0)


def test_insertions_in_place_of_replaced_knots_are_a_scalar(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    adaptation = GridAdaptationCallback(InputDensity(), {2: 5, 4: 8}, insert_above=1.5)
    trainer_for(6, adaptation, logger=logger).fit(DearEnds(), pairs())
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("grid/inserted")] == [(2, 1), (4, 2)]


def test_adapting_by_hand_in_any_hook_may_be_undone() -> None:
    adaptation = counting({0: 3})
    seen: list[str] = []

    class ByHand(Callback):
        def _adapt(self, trainer: Trainer, module: LightningModule, hook: str) -> None:
            if adaptation.adapt(trainer, module, 6).failure is not None:
                seen.append(hook)

        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            self._adapt(trainer, pl_module, "start")

        def on_train_batch_end(
            self, trainer: Trainer, pl_module: LightningModule, *args: Any
        ) -> None:
            self._adapt(trainer, pl_module, "batch")

        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            self._adapt(trainer, pl_module, "epoch")

    with pytest.warns(UserWarning, match="was rolled back"):
        trainer_for(2, ByHand(), adaptation).fit(Suffers(99), pairs())
    assert set(seen) == {"start", "batch", "epoch"}


def test_each_undone_adaptation_is_told_also_where_the_words_are_the_same() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            fit(counting({1: 4}), 2, Suffers(99))
    assert len([w for w in caught if "was rolled back" in str(w.message)]) == 3


def test_a_filter_of_the_user_s_holds() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "grid adaptation")
        with pytest.raises(UserWarning, match="was rolled back"):
            fit(counting({1: 4}), 2, Suffers(99))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "grid adaptation")
        fit(counting({1: 4}), 2, Suffers(99))
    assert not [w for w in caught if "was rolled back" in str(w.message)]


# -- failures by name ---------------------------------------------------------------------------


def one_input(f: Callable[[Tensor], Tensor], count: int = 500) -> TensorLoader:
    x = torch.linspace(-1, 1, count).unsqueeze(1)
    return TensorLoader((x, f(x)))


def curve(seed: int = 0) -> RegressionModule:
    torch.manual_seed(seed)
    return RegressionModule(1, 1, hidden=[10], optimizer=lambda p: torch.optim.Adam(p, lr=1e-2))


def warned(adaptation: GridAdaptationCallback, epochs: int, data: Any, seed: int = 0) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(adaptation, epochs, curve(seed), data)
    return [str(w.message) for w in caught if w.filename.endswith("grid_adaptation.py")]


def test_a_large_epsilon_is_told_as_a_flat_grid() -> None:
    adaptation = GridAdaptationCallback(CurvatureDensity(epsilon=1e3), [3, 6])
    (text,) = warned(adaptation, 4, one_input(lambda x: torch.exp(-200 * x**2)))
    assert text.startswith("epoch 0: flat grid")


def test_a_chirp_on_three_intervals_is_told_as_a_first_grid_too_coarse() -> None:
    adaptation = GridAdaptationCallback(schedule=[3, 6])
    (text,) = warned(adaptation, 420, one_input(lambda x: torch.sin(40 * torch.pi * x**2)))
    assert text.startswith("epoch 210: first grid too coarse")


def test_a_high_power_is_told_as_a_boundary_collapse() -> None:
    def peak_and_ripple(x: Tensor) -> Tensor:
        return torch.exp(-200 * x**2) + 0.5 * torch.sin(60 * x) * (60 * (x.abs() - 0.9)).sigmoid()

    adaptation = GridAdaptationCallback(CurvatureDensity(power=4), [6, 8, 10], uniform_mix=0.0)
    texts = warned(adaptation, 300, one_input(peak_and_ripple, 1000))
    assert [text.split(": ")[1] for text in texts] == ["boundary collapse"]


def test_tiny_noisy_batches_are_told_as_a_grid_jitter() -> None:
    generator = torch.Generator().manual_seed(1)
    x = 2 * torch.rand(64, 1, generator=generator) - 1
    y = torch.exp(-20 * x**2) + 0.3 * torch.randn(64, 1, generator=generator)
    data = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    adaptation = GridAdaptationCallback(
        schedule=[8], trigger=PeriodicTrigger(13), max_samples=8, max_loss_growth=1e9
    )
    texts = warned(adaptation, 80, data)
    assert [text.split(": ")[1] for text in texts] == ["grid jitter"]


SOUND: dict[str, tuple[Callable[[Tensor], Tensor], list[int], Any]] = {
    "quickstart": (lambda x: torch.exp(-200 * x**2), [3, 6, 10], CurvatureDensity()),
    "f2": (lambda x: torch.tanh(50 * x), [3, 6, 9, 12], CurvatureDensity()),
    "f4": (lambda x: 1 / (1 + 25 * x**2), [3, 6, 9, 12], InputDensity()),
}


@pytest.mark.parametrize(("f", "sizes", "density"), SOUND.values(), ids=SOUND.keys())
def test_sound_runs_are_silent(
    f: Callable[[Tensor], Tensor], sizes: list[int], density: Any
) -> None:
    adaptation = GridAdaptationCallback(density, sizes)
    assert warned(adaptation, 300, one_input(f, 250)) == []
    assert adaptation.undone == 0


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "averaging", [lambda: StochasticWeightAveraging(1e-2), lambda: EMAWeightAveraging(decay=0.9)]
)
def test_averages_over_different_knots_are_refused_at_the_start(
    averaging: Callable[[], Callback],
) -> None:
    trainer = trainer_for(2, GridAdaptationCallback(schedule=[3]), averaging())
    with pytest.raises(ConfigurationError, match="averages coefficients that belong to different"):
        trainer.fit(regression(), pairs())


def test_a_trigger_with_a_schedule_of_epochs_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="write the schedule as a list of grid sizes"):
        GridAdaptationCallback(schedule={0: 3}, trigger=PeriodicTrigger(2))


@pytest.mark.parametrize("factor", [1.0, 0.5, -1.0, float("nan")])
def test_a_factor_that_is_not_above_one_is_refused(factor: float) -> None:
    with pytest.raises(ConfigurationError, match="max_loss_growth must be above 1"):
        GridAdaptationCallback(max_loss_growth=factor)


# -- YAML ---------------------------------------------------------------------------------------

OWN_TRIGGER = '''
from kanlit.adaptation import Trigger


class AtPrimes(Trigger):
    """Fires at prime epochs up to the largest."""

    def __init__(self, largest: int = 5) -> None:
        self.largest = largest
        self.fired = 0

    def fires(self, observation):
        n = observation.time
        prime = n > 1 and all(n % d for d in range(2, n))
        self.fired += prime
        return prime and n <= self.largest

    def state_dict(self):
        return {"fired": self.fired}

    def load_state_dict(self, state):
        self.fired = state["fired"]
'''


@pytest.mark.parametrize(
    ("trigger", "epochs"),
    [
        ("mytrigger.AtPrimes", [2, 3, 5]),
        ({"class_path": "mytrigger.AtPrimes", "init_args": {"largest": 3}}, [2, 3]),
        (
            {
                "class_path": "AnyTrigger",
                "init_args": {
                    "triggers": [
                        {"class_path": "mytrigger.AtPrimes", "init_args": {"largest": 2}},
                        {"class_path": "PeriodicTrigger", "init_args": {"every": 4}},
                        {
                            "class_path": "kanlit.adaptation.AllTrigger",
                            "init_args": {"triggers": [{"class_path": "PlateauTrigger"}]},
                        },
                    ]
                },
            },
            [0, 2, 4],
        ),
    ],
)
def test_a_trigger_of_one_s_own_is_named_in_yaml(
    trigger: Any,
    epochs: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "mytrigger.py").write_text(OWN_TRIGGER)
    config = {
        "data": {
            "class_path": "SyntheticData",
            "init_args": {"function": "f4", "samples": 50, "standardize": False},
        },
        "model": {"hidden": [2]},
        "adaptation": {"trigger": trigger, "schedule": [3, 4, 5]},
        "trainer": {"max_epochs": 6, "enable_progress_bar": False, "logger": False},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kanlit", "fit", "--config", "run.yaml"])
    try:
        main()
    finally:
        sys.modules.pop("mytrigger", None)
    lines = [line for line in capsys.readouterr().out.splitlines() if "grids adapted" in line]
    assert [int(line.split(":")[0].removeprefix("epoch ")) for line in lines] == epochs
    assert [int(line.split("G = ")[1].split(",")[0]) for line in lines] == [3, 4, 5][: len(epochs)]
