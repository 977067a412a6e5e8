"""A run that was killed and resumed ends, to the last bit, as one that was never stopped."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import ReduceLROnPlateau
from torch.optim.lr_scheduler import StepLR

from kanlit.adaptation import AnyTrigger, PeriodicTrigger, PlateauTrigger, Trigger
from kanlit.callbacks import Checkpoint, GridAdaptationCallback
from kanlit.checkpoints import (
    AtomicCheckpointIO,
    carry_over,
    find_checkpoint,
    read_checkpoint,
)
from kanlit.cli import main
from kanlit.data import SyntheticData
from kanlit.errors import ConfigurationError
from kanlit.modules import RegressionModule
from running import trainer_for

pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

KILL_TEST = Path(__file__).resolve().parents[1] / "studies" / "kill_test.py"
EPOCHS = 12

OPTIMIZERS: dict[str, tuple[Any, Any]] = {
    "adam": (lambda p: torch.optim.Adam(p, lr=1e-2), None),
    "sgd, step": (
        lambda p: torch.optim.SGD(p, lr=5e-2, momentum=0.9),
        lambda o: StepLR(o, step_size=2, gamma=0.9),
    ),
    "sgd, on plateau": (
        lambda p: torch.optim.SGD(p, lr=5e-2),
        lambda o: ReduceLROnPlateau(o, monitor="val/loss", patience=0, threshold=0.9),
    ),
    "lbfgs": (lambda p: torch.optim.LBFGS(p, max_iter=3), None),
}
TRIGGERS: dict[str, Callable[[], Trigger | None]] = {
    "schedule": lambda: None,
    "periodic": lambda: PeriodicTrigger(4, start=1),
    "plateau": lambda: PlateauTrigger(patience=2, threshold=0.5, cooldown=1),
    "any": lambda: AnyTrigger(
        [PeriodicTrigger(7), PlateauTrigger(patience=2, threshold=0.9, at_start=False)]
    ),
}


class Keep(Callback):
    """Keeps a copy of last.ckpt as it was after each epoch in which it was written."""

    def __init__(self, last: Path) -> None:
        self.last = last
        self.sizes: dict[int, int] = {}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch - 1
        if self.last.is_file() and (epoch + 1) % 3 == 0:
            shutil.copy(self.last, self.last.with_name(f"{epoch}.ckpt"))


def fit(
    folder: Path,
    optimizer: str = "adam",
    batch_size: int | None = None,
    trigger: str = "schedule",
    start: Path | None = None,
    callbacks: tuple[Callback, ...] = (),
    **settings: Any,
) -> dict[str, Any]:
    """Trains, and returns all that it has come to."""
    torch.manual_seed(0)
    optimizer_, scheduler = OPTIMIZERS[optimizer]
    module = RegressionModule(1, 1, hidden=[3], optimizer=optimizer_, lr_scheduler=scheduler)
    when = TRIGGERS[trigger]()
    adaptation = GridAdaptationCallback(
        schedule={0: 3, 4: 5, 8: 7} if when is None else [3, 5, 7], trigger=when
    )
    keep = Checkpoint(dirpath=str(folder), every_n_epochs=3)
    own = {"check_val_every_n_epoch": 2, "plugins": [AtomicCheckpointIO()], **settings}
    every = adaptation, Keep(folder / "last.ckpt"), keep, *callbacks
    trainer = trainer_for(EPOCHS, *every, **own)
    data = SyntheticData("f4", samples=30, batch_size=batch_size, standardize=False)
    with warnings.catch_warnings(action="ignore"):
        trainer.fit(module, data, ckpt_path=start)
    return {
        "weights": dict(module.state_dict()),
        "optimizer": trainer.optimizers[0].state_dict(),
        "schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "metrics": dict(trainer.callback_metrics),
        "adaptation": adaptation.state_dict(),
        "best": (keep.best_model_score, keep.current_score, keep.best_step),
        "at": (trainer.current_epoch, trainer.global_step),
    }


def assert_alike(a: Any, b: Any, where: str = "") -> None:
    """Equal to the last bit, all the way down."""
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, where
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            assert_alike(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_alike(x, y, f"{where}/{index}")
    else:
        assert a == b, where


# -- in one process, stopped after an epoch -----------------------------------------------------


# Every optimizer and every trigger, in full batches and in mini-batches.
CASES = [
    (optimizer, list(TRIGGERS)[(i + j) % len(TRIGGERS)], batch_size)
    for i, optimizer in enumerate(OPTIMIZERS)
    for j, batch_size in enumerate((None, 8))
]


@pytest.mark.parametrize(("optimizer", "trigger", "batch_size"), CASES)
def test_resumed_before_between_and_after_extensions_a_run_ends_the_same(
    optimizer: str, trigger: str, batch_size: int | None, tmp_path: Path
) -> None:
    unbroken = fit(tmp_path / "unbroken", optimizer, batch_size, trigger)
    sizes = set()
    for epoch in (2, 5, 8):
        start = tmp_path / "unbroken" / f"{epoch}.ckpt"
        sizes.add(read_checkpoint(start)["state_dict"]["network.layers.0.knots"].shape)
        resumed = fit(tmp_path / str(epoch), optimizer, batch_size, trigger, start)
        assert_alike(resumed, unbroken)
    if trigger == "schedule":
        assert len(sizes) == 3
    if optimizer == "sgd, on plateau":  # its last reduction is in what was compared
        assert unbroken["optimizer"]["param_groups"][0]["lr"] < 5e-2


@pytest.mark.parametrize(
    "settings", [{"precision": "64-true"}, {"max_epochs": -1, "max_steps": 50}]
)
def test_resumed_in_double_precision_or_counted_in_steps_a_run_ends_the_same(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    unbroken = fit(tmp_path / "unbroken", batch_size=7, **settings)
    start = tmp_path / "unbroken" / "5.ckpt"
    assert_alike(fit(tmp_path / "resumed", batch_size=7, start=start, **settings), unbroken)


def test_a_finished_run_goes_on_to_more_epochs_as_if_it_had_been_longer(tmp_path: Path) -> None:
    # 10 epochs are not a multiple of 3: the last checkpoint is that of the end of training.
    settings: dict[str, Any] = {"optimizer": "sgd, on plateau"}
    unbroken = fit(tmp_path / "unbroken", **settings)
    fit(tmp_path / "first", **settings, max_epochs=10)
    start = tmp_path / "first" / "last.ckpt"
    assert_alike(fit(tmp_path / "second", start=start, **settings), unbroken)


@pytest.mark.parametrize(("batch_size", "accumulated"), [(8, 1), (8, 2), (None, 1)])
def test_a_run_that_max_steps_ended_with_an_epoch_goes_on_with_the_next(
    batch_size: int | None, accumulated: int, tmp_path: Path
) -> None:
    settings = {"batch_size": batch_size, "accumulate_grad_batches": accumulated, "max_epochs": -1}
    steps = 3 if batch_size is None else 3 * 4 // accumulated  # three epochs
    unbroken = fit(tmp_path / "unbroken", trigger="periodic", max_steps=2 * steps, **settings)
    fit(tmp_path / "first", trigger="periodic", max_steps=steps, **settings)
    start = tmp_path / "first" / "last.ckpt"
    resumed = fit(
        tmp_path / "second", trigger="periodic", max_steps=2 * steps, start=start, **settings
    )
    assert_alike(resumed, unbroken)


def test_a_run_that_stopped_early_is_not_gone_on_with(tmp_path: Path) -> None:
    def stopping() -> EarlyStopping:
        return EarlyStopping("val/loss", patience=1, min_delta=10.0)

    stopped = fit(tmp_path / "first", callbacks=(stopping(),))
    assert stopped["at"][0] < EPOCHS
    start = tmp_path / "first" / "last.ckpt"
    assert_alike(fit(tmp_path / "second", callbacks=(stopping(),), start=start), stopped)


def test_the_best_so_far_goes_on_into_the_new_folder(tmp_path: Path) -> None:
    def best(folder: Path) -> float:
        content = read_checkpoint(folder)
        (state,) = (v for k, v in content["callbacks"].items() if k.startswith("Checkpoint"))
        return float(state["best_model_score"])

    fit(tmp_path / "first", "sgd, step")
    score = best(tmp_path / "first" / "last.ckpt")
    # Steps that make it worse: nothing better is found, and the best of the first run stays.
    OPTIMIZERS["climb"] = (lambda p: torch.optim.SGD(p, lr=1e-9, maximize=True, momentum=0.9), None)
    try:
        start = tmp_path / "first" / "last.ckpt"
        resumed = fit(tmp_path / "second", "climb", start=start, max_epochs=16)
    finally:
        del OPTIMIZERS["climb"]
    assert float(resumed["best"][0]) <= score
    assert (tmp_path / "first" / "best.ckpt").is_file()


class KilledBefore(Callback):
    """Keeps the checkpoints as a run leaves them that is killed between the best and the last."""

    def __init__(self, folder: Path, kept: Path) -> None:
        self.folder, self.kept = folder, kept

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 7:  # best.ckpt is of this epoch, last.ckpt of the sixth
            shutil.copytree(self.folder, self.kept)


def test_killed_between_the_best_and_the_last_a_run_ends_with_the_same_best(tmp_path: Path) -> None:
    whole, kept, resumed = (tmp_path / name for name in ("whole", "kept", "resumed"))
    fit(whole, trigger="periodic", max_epochs=8, callbacks=(KilledBefore(whole, kept),))
    fit(resumed, trigger="periodic", max_epochs=8, start=kept / "last.ckpt")
    assert [read_checkpoint(kept / f"{n}.ckpt")["global_step"] for n in ("last", "best")] == [6, 8]
    steps = []
    for folder in whole, resumed:
        content = read_checkpoint(folder / "best.ckpt")
        steps.append((content["global_step"], content["callbacks"]["Checkpoint"]["best_step"]))
    assert steps == [(8, 8), (8, 8)]


@pytest.mark.parametrize("copies", [0, 1])
def test_killed_while_it_copies_checkpoints_a_run_leaves_the_first_as_the_newest(
    copies: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (tmp_path / f"lightning_logs/version_{n}" / "checkpoints" for n in (0, 1))
    fit(first, "sgd, step")
    copy, done = shutil.copyfile, itertools.count()

    def killed(source: Path, target: Path) -> None:
        if next(done) == copies:
            raise KeyboardInterrupt
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", killed)
    with pytest.raises(KeyboardInterrupt):
        carry_over(first / "last.ckpt", second)
    for name in ("last", "best"):
        assert find_checkpoint(name, tmp_path) == first / f"{name}.ckpt"


# -- writing ------------------------------------------------------------------------------------


HALF = """
import os, signal, sys
from pathlib import Path
import torch
from kanlit import KANLayer
from kanlit.checkpoints import AtomicCheckpointIO

path = Path(sys.argv[1])
state = KANLayer(1, 1).state_dict(prefix="a.")
AtomicCheckpointIO().save_checkpoint({"state_dict": {**state, "a.bias": torch.zeros(1)}}, path)

def half(file, content):
    with file.open("wb") as unfinished:
        unfinished.write(bytes(content)[: len(content) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

Path.write_bytes = half
AtomicCheckpointIO().save_checkpoint({"state_dict": {**state, "a.bias": torch.ones(1)}}, path)
"""


def test_a_process_killed_while_it_writes_leaves_the_last_good_checkpoint(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "half.py").write_text(HALF)
    path = tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    ended = start(str(tmp_path / "half.py"), str(path)).ended()
    assert ended.returncode == -signal.SIGKILL
    assert len(list(path.parent.iterdir())) == 2  # the good one, and half of the next
    assert find_checkpoint("last", tmp_path) == path
    assert read_checkpoint(path)["state_dict"]["a.bias"].tolist() == [0]


def test_half_a_file_is_not_taken_for_a_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "lightning_logs" / "version_0" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / f".last.ckpt.{os.getpid()}").write_bytes(b"half")
    with pytest.raises(ConfigurationError, match="no last checkpoint"):
        find_checkpoint("last", tmp_path)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    with pytest.raises(Exception, match="pickle"):
        AtomicCheckpointIO().save_checkpoint({"a": lambda: 0}, path)
    assert list(tmp_path.iterdir()) == []


# -- killed -------------------------------------------------------------------------------------


def test_runs_killed_at_random_moments_end_as_unbroken_ones(start: Callable[..., Any]) -> None:
    ended = start(str(KILL_TEST), "--runs", "2", "--kills", "2").ended()
    assert "2 of 2 killed runs ended bit-identical" in ended.stdout, ended.stdout + ended.stderr


AT_PRUNING = """
import os, signal, sys, tempfile
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import kill_test
import torch
from kanlit.callbacks import PruningCallback, pruning
from kanlit.checkpoints import read_checkpoint, find_checkpoint

torch.set_num_threads(1)
CASE = "Adam, sparsity, pruned twice"  # a checkpoint every 5 epochs
kill_test.CASES[CASE] += " --data.samples 50 --trainer.max_epochs 30"
kill_test.CASES[CASE] += " --trainer.callbacks.epochs=[8,20]"
prune, start = PruningCallback.prune, PruningCallback.on_train_epoch_start

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def prune_and_die(*args):
    prune(*args)
    die()

def die_later(self, trainer, module):
    start(self, trainer, module)
    if trainer.current_epoch == 17:
        die()

MOMENTS = {
    "within": (pruning, "retain_optimizer_state", die),  # nodes are gone, their moments are not
    "after": (PruningCallback, "prune", prune_and_die),
    "between": (PruningCallback, "on_train_epoch_start", die_later),
}

def nodes(folder):
    return len(read_checkpoint(find_checkpoint("last", folder))["state_dict"]
               ["network.layers.0.bias"])

def whole(folder):
    assert kill_test.ended(kill_test.start(folder, CASE), 60)
    return kill_test.outcome(folder)

with tempfile.TemporaryDirectory() as root:
    for name in ("unbroken", *MOMENTS):
        Path(root, name).mkdir()
    unbroken = whole(Path(root, "unbroken"))
    print("unbroken:", nodes(Path(root, "unbroken")), "nodes")
    for name, (place, attribute, killer) in MOMENTS.items():
        folder, kept = Path(root, name), getattr(place, attribute)
        setattr(place, attribute, killer)  # a child process inherits it
        _, status = os.waitpid(kill_test.start(folder, CASE), 0)
        setattr(place, attribute, kept)
        left = nodes(folder)
        differs = kill_test.difference(whole(folder), unbroken)
        print(f"{name}: status {status}, {left} nodes, {differs or 'the same'}")
"""


def test_runs_killed_around_a_pruning_end_as_unbroken_ones(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "at_pruning.py").write_text(AT_PRUNING)
    ended = start(str(tmp_path / "at_pruning.py"), str(KILL_TEST.parent)).ended()
    expected = (
        r"unbroken: (\d) nodes\n"
        r"within: status 9, 5 nodes, the same\n"
        r"after: status 9, 5 nodes, the same\n"
        r"between: status 9, (\d) nodes, the same\n"
    )
    found = re.fullmatch(expected, ended.stdout)
    assert found, ended.stdout + ended.stderr
    assert 1 <= int(found[1]) <= int(found[2]) < 5  # both prunings are in it


# -- at every stage, by every command -----------------------------------------------------------


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())

    def command(line: str) -> str:
        monkeypatch.setattr(sys, "argv", ["kanlit", *line.split()])
        main()
        printed = capsys.readouterr()
        return printed.out + printed.err

    return command


DATA = "--data SyntheticData --data.samples 30"
FIT = (
    f"fit {DATA} --model.hidden [3] --trainer.max_epochs 9 --checkpoint.every_n_epochs 3 "
    "--trainer.check_val_every_n_epoch 2 --trainer.enable_progress_bar false"
)


LARGER = "--model.grid_size 3 --adaptation.schedule [2,5,9]"
SMALLER = "--model.grid_size 9 --adaptation.schedule [2]"


@pytest.mark.parametrize(
    ("grids", "name", "what"),
    [(LARGER, "last", "validate"), (SMALLER, "best", "test"), (LARGER, "file", "predict")],
)
def test_every_command_takes_a_checkpoint_of_another_grid_size(
    grids: str, name: str, what: str, command: Callable[[str], str]
) -> None:
    command(f"{FIT} {grids}")
    path = find_checkpoint("last", Path()) if name == "file" else name
    command(f"{what} {DATA} --ckpt_path {path}")
    command(f"{FIT} {grids} --ckpt_path {path} --trainer.max_epochs 12")

    last = find_checkpoint("last", Path())
    module = RegressionModule.load_from_checkpoint(last)
    wanted = int(re.findall(r"\d", grids)[-1])
    assert {layer.grid_size for layer in module.network.layers} == {wanted}


def test_without_a_last_checkpoint_a_run_starts_fresh_and_says_so(
    command: Callable[[str], str],
) -> None:
    assert "no last checkpoint under lightning_logs: the run starts fresh" in command(
        f"{FIT} --ckpt_path last"
    )
    assert "last checkpoint: lightning_logs/version_0/checkpoints/last.ckpt" in command(
        f"{FIT} --ckpt_path last"
    )


# -- what is in them ----------------------------------------------------------------------------


SUB = "--adaptation.trigger.triggers"
KINDS = {
    "trigger": [
        "",
        "PeriodicTrigger --adaptation.trigger.every 2",
        "PlateauTrigger --adaptation.trigger.patience 2",
        f"AllTrigger {SUB}+=PeriodicTrigger {SUB}.every=2 {SUB}+=PlateauTrigger",
    ],
    "optimizer": [
        "Adam",
        "SGD",
        "LBFGS --model.optimizer.line_search_fn strong_wolfe",
        "AdamW",
        "RMSprop",
    ],
    "scheduler": [
        "",
        "torch.optim.lr_scheduler.StepLR --model.lr_scheduler.step_size 3",
        "torch.optim.lr_scheduler.ExponentialLR --model.lr_scheduler.gamma 0.9",
        "ReduceLROnPlateau --model.lr_scheduler.monitor val/loss",
    ],
}


def not_plain(value: Any, where: str = "") -> list[str]:
    """Where a thing holds anything but tensors and plain Python."""
    if isinstance(value, dict):
        keys = [f"{where}: key {k!r}" for k in value if type(k) not in (str, int)]
        return keys + list(
            itertools.chain.from_iterable(not_plain(v, f"{where}/{k}") for k, v in value.items())
        )
    if type(value) in (list, tuple):
        return list(
            itertools.chain.from_iterable(not_plain(v, f"{where}/{i}") for i, v in enumerate(value))
        )
    plain = (torch.Tensor, int, float, bool, str, type(None))
    return [] if type(value) in plain else [f"{where}: {type(value)}"]


def lines_of_each_kind() -> list[str]:
    lines = []
    for index in range(max(map(len, KINDS.values()))):
        trigger, optimizer, scheduler = (kind[index % len(kind)] for kind in KINDS.values())
        line = f"{FIT} --adaptation.schedule [2,4] --model.optimizer torch.optim.{optimizer}"
        line += " --model.optimizer.lr 0.01"
        line += f" --adaptation.trigger {trigger}" if trigger else ""
        line += f" --model.lr_scheduler {scheduler}" if scheduler else ""
        lines.append(line)
    return lines


@pytest.mark.parametrize("line", lines_of_each_kind())
def test_a_checkpoint_holds_tensors_and_plain_python_only(
    line: str, command: Callable[[str], str]
) -> None:
    command(line)
    for name in ("last", "best"):
        path = find_checkpoint(name, Path())
        assert not_plain(torch.load(path, weights_only=True)) == []
