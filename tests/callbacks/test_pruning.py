"""A run goes on through a pruning as it does through an extension of its grids."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn

from kanlit.adaptation.optimizer_state import retain_optimizer_state
from kanlit.callbacks import (
    Checkpoint,
    GridAdaptationCallback,
    KeepBest,
    KnotPlotCallback,
    PruningCallback,
)
from kanlit.checkpoints import AtomicCheckpointIO
from kanlit.data import SyntheticData
from kanlit.errors import ConfigurationError
from kanlit.modules import RegressionModule
from kanlit.nn import KAN, KANLayer, Kept, PruningReport
from kanlit.optim import LevenbergMarquardt
from running import trainer_for

OPTIMIZERS: dict[str, Any] = {
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2),
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=1e-2),
    "lbfgs": lambda p: torch.optim.LBFGS(p, max_iter=3),
    "levenberg-marquardt": LevenbergMarquardt,
}
FULL = [2, 6, 4, 1]


class Seen(Callback):
    """What it was told of prunings, and the widths and the newest checkpoint after each epoch."""

    def __init__(self, last: Path | None = None) -> None:
        self.last = last
        self.reports: list[PruningReport] = []
        self.told: list[str] = []
        self.widths: list[list[int]] = []

    def before_pruning(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.told.append("before")

    def on_pruning(
        self, trainer: Trainer, pl_module: LightningModule, report: PruningReport
    ) -> None:
        self.told.append("after")
        self.reports.append(report)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.last is not None and self.last.is_file():
            shutil.copy(self.last, self.last.with_name(f"{trainer.current_epoch - 1}.ckpt"))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.widths.append(list(pl_module.network.widths))


def pruning(epochs: list[int] | None = None, **settings: Any) -> PruningCallback:
    chosen: dict[str, Any] = {
        "node_threshold": 0.5,
        "edge_threshold": 0.2,
        "max_loss_growth": 1e9,
        **settings,
    }
    return PruningCallback(epochs, **chosen)


def fit(
    *callbacks: Callback,
    optimizer: str = "adam",
    start: Path | None = None,
    folder: Path | None = None,
    module: LightningModule | None = None,
    epochs: int = 9,
    quiet: bool = True,
    **settings: Any,
) -> tuple[LightningModule, Trainer, Seen]:
    torch.manual_seed(0)
    if module is None:
        module = RegressionModule(
            2, 1, hidden=FULL[1:-1], optimizer=OPTIMIZERS[optimizer], **settings
        )
    seen = Seen(None if folder is None else folder / "last.ckpt")
    kept = [] if folder is None else [Checkpoint(dirpath=str(folder), every_n_epochs=1)]
    trainer = trainer_for(epochs, *callbacks, seen, *kept, plugins=[AtomicCheckpointIO()])
    data = SyntheticData("f7", samples=50, standardize=False)
    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore", UserWarning)
        trainer.fit(module, data, ckpt_path=start)
    return module, trainer, seen


# -- when and what ------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_network_gets_narrower_before_its_epoch_and_trains_on(
    optimizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = pruning([4])
    _, trainer, seen = fit(callback, optimizer=optimizer)

    assert seen.widths[:4] == [FULL] * 4
    (report,) = seen.reports
    assert report is callback.report
    assert seen.told == ["before", "after"]
    assert seen.widths[4:] == [list(report.widths)] * 5
    assert sum(report.widths) < sum(FULL)
    assert report.edges < sum(a * b for a, b in zip(report.widths, report.widths[1:], strict=False))
    line = next(x for x in capsys.readouterr().out.splitlines() if "pruned" in x)
    assert line.startswith(
        f"epoch 4: pruned, widths {FULL} -> {list(report.widths)}, edges 40 -> {report.edges}, loss"
    )
    assert float(trainer.callback_metrics["val/loss"]) < report.loss


def test_a_pruned_edge_is_moved_by_no_optimizer() -> None:
    for optimizer in OPTIMIZERS:
        module, _, _ = fit(pruning([4]), optimizer=optimizer)
        masked = 0
        for layer in module.network.layers:
            if layer.edge_mask is not None:
                masked += int((~layer.edge_mask).sum())
                for parameter in (layer.coefficients, layer.base_weight, layer.edge_scale):
                    assert not parameter[~layer.edge_mask].any()
        assert masked > 0


def test_several_epochs_prune_several_times_and_none_of_them_once_at_the_end() -> None:
    _, _, seen = fit(pruning([6, 3]))
    assert len(seen.reports) == 2
    assert seen.reports[1].widths_before == seen.reports[0].widths

    module, _, seen = fit(pruning())
    assert seen.widths == [FULL] * 9
    assert module.network.widths == list(seen.reports[0].widths) < FULL


def test_grids_adapt_and_knots_are_followed_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the pictures go
    plot = KnotPlotCallback()
    module, _, seen = fit(
        pruning([4]), GridAdaptationCallback(schedule={0: 3, 4: 4, 6: 5}), plot, KeepBest()
    )
    layers = module.network.layers
    assert {layer.grid_size for layer in layers} == {5}
    for record in plot.records:
        assert [len(b) for b in record.breakpoints.values()] == [x.in_features for x in layers]
    assert module.network.widths == list(seen.reports[0].widths)


def test_sparsity_ends_with_the_last_pruning_unless_it_is_to_stay() -> None:
    for keep, left in ((False, 0.0), (True, 0.1)):
        module, _, _ = fit(pruning([2, 4], keep_sparsity=keep), sparsity_l1=0.1)
        assert module.sparsity_l1 == left
    with_it, _, _ = fit(pruning([2, 4]), sparsity_l1=0.1, epochs=5)
    without, _, _ = fit(pruning([2, 4]), sparsity_l1=0.0, epochs=5)
    assert not torch.equal(with_it.network.layers[0].bias, without.network.layers[0].bias)


def test_a_pruning_that_hurts_is_undone_with_one_warning_and_training_goes_on() -> None:
    callback = pruning([4], node_threshold=0.99, max_loss_growth=1.001)
    plain, _, _ = fit()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module, _, seen = fit(callback, quiet=False)
    (told,) = (str(w.message) for w in caught if "pruning" in str(w.message))
    assert told.startswith(
        "pruning at epoch 4 was rolled back, training continues with the unpruned network: "
        "the loss grew"
    )
    assert told.endswith("more than 1.001 times")
    assert callback.undone == 1
    assert seen.reports == []
    for name, tensor in module.state_dict().items():  # as if nothing had been tried
        assert torch.equal(tensor, plain.state_dict()[name])


# -- the optimiser ------------------------------------------------------------------------------


def test_moments_kept_are_those_of_the_nodes_kept() -> None:
    layer = KANLayer(3, 4)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.randn(9, 3)).square().sum().backward()
    optimizer.step()
    before = {p: dict(optimizer.state[p]) for p in layer.parameters()}
    outputs = torch.tensor([True, False, True, True])
    inputs = torch.tensor([False, True, True])
    edges = outputs.unsqueeze(1) & inputs
    edges[2, 1] = False

    layer.zero_grad()
    layer.retain(outputs, inputs, edges)
    retain_optimizer_state(optimizer, [layer], [Kept(outputs, inputs, edges)])

    rows, columns = [0, 2, 3], [1, 2]
    for parameter, old in before.items():
        for key in ("exp_avg", "exp_avg_sq"):
            found, expected = optimizer.state[parameter][key], old[key][rows]
            if parameter.ndim > 1:
                expected = expected[:, columns].clone()
                expected[1, 0] = 0
                assert found[0].any()
            assert torch.equal(found, expected)
        assert torch.equal(optimizer.state[parameter]["step"], old["step"])


# -- checkpoints --------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_before_or_after_a_pruning_a_run_ends_the_same(
    optimizer: str, tmp_path: Path
) -> None:
    def run(name: str, start: Path | None = None) -> dict[str, Any]:
        sparsity = {} if optimizer == "levenberg-marquardt" else {"sparsity_l1": 1e-2}
        module, trainer, _ = fit(
            pruning([4, 7]),
            GridAdaptationCallback(schedule={0: 3, 6: 5}),
            KeepBest(),
            optimizer=optimizer,
            folder=tmp_path / name,
            start=start,
            **sparsity,
        )
        return {
            **module.state_dict(),
            **{
                f"{number}/{key}": value
                for number, state in trainer.optimizers[0].state_dict()["state"].items()
                for key, value in state.items()
                if isinstance(value, (torch.Tensor, float))
            },
            "loss": trainer.callback_metrics["val/loss"],
        }

    whole = run("whole")
    for epoch in (3, 5):
        resumed = run(str(epoch), tmp_path / "whole" / f"{epoch}.ckpt")
        assert list(resumed) == list(whole)
        for name, value in whole.items():
            assert torch.equal(torch.as_tensor(resumed[name]), torch.as_tensor(value)), name


def test_a_pruned_checkpoint_loads_and_has_the_network_that_training_ended_with(
    tmp_path: Path,
) -> None:
    x = torch.rand(20, 2)
    for epochs in ([4], None):
        module, _, _ = fit(pruning(epochs), folder=tmp_path)
        loaded = RegressionModule.load_from_checkpoint(tmp_path / "last.ckpt")
        assert loaded.network.widths == module.network.widths < FULL
        assert torch.equal(loaded(x), module(x))


def test_the_search_for_the_best_starts_anew_with_the_smaller_network() -> None:
    module, _, seen = fit(pruning([8]), KeepBest())  # one bad epoch after it
    assert module.network.widths == list(seen.reports[0].widths) < FULL


def test_every_command_takes_a_checkpoint_of_a_pruned_network(
    command_line: Any, tmp_path: Path
) -> None:
    data = "--data SyntheticData --data.function f7 --data.samples 30"
    prune = "--trainer.callbacks+=PruningCallback --trainer.callbacks.node_threshold=0.5"
    prune += " --trainer.callbacks.max_loss_growth=1e9 --trainer.callbacks.epochs=[4]"
    words = (
        f"fit {data} --model.hidden [6] --trainer.max_epochs 9 --trainer.check_val_every_n_epoch 3"
        f" --trainer.enable_progress_bar false {prune} --adaptation.schedule [3,5]"
    )
    with warnings.catch_warnings(action="ignore"):
        status, out, err = command_line(words)
        assert "pruned, widths [2, 6, 1] -> [2, " in out + err
        assert status == 0, err
        for subcommand, name in (("validate", "best"), ("test", "last"), ("predict", "last")):
            status, _, err = command_line(f"{subcommand} {data} --ckpt_path {name}")
            assert status == 0, err
        status, out, err = command_line(f"{words} --trainer.max_epochs 12 --ckpt_path last")
        assert status == 0, err
    loaded = RegressionModule.load_from_checkpoint(
        tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    )
    assert loaded.network.widths[1] < 6


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": []}, r"epochs must be a non-empty list of epochs from 1 on, got \[\]"),
        ({"epochs": [0, 5]}, r"epochs must be a non-empty list of epochs from 1 on, got \[0, 5\]"),
        ({"node_threshold": 1.0}, "node_threshold must be at least 0 and below 1"),
        ({"edge_threshold": -1.0}, "edge_threshold must be at least 0 and below 1"),
        ({"max_samples": 1}, "max_samples must be at least 2, got 1"),
        ({"max_loss_growth": 1.0}, "max_loss_growth must be above 1, got 1.0"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PruningCallback(**settings)


class Own(LightningModule):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.network(batch[0]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def adaptation_inputs(self, batch: Any) -> torch.Tensor:
        return batch[0]


def test_what_cannot_be_pruned_is_refused_before_training() -> None:
    with pytest.raises(ConfigurationError, match="Linear contains no KANLayer"):
        fit(pruning([4]), module=Own(nn.Linear(2, 1)))
    with pytest.raises(ConfigurationError, match=r"Sequential is not a kanlit.nn.KAN"):
        fit(pruning([4]), module=Own(nn.Sequential(KAN([2, 1]))))
    with pytest.raises(ConfigurationError, match="WeightAveraging averages weights of nodes"):
        fit(pruning([4]), WeightAveraging())
    with pytest.raises(ConfigurationError, match="contains 9, but max_epochs is 9"):
        fit(pruning([4, 9]))


def test_a_module_of_ones_own_without_a_loss_method_is_pruned_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    module, _, seen = fit(pruning([4]), module=Own(KAN(FULL)))
    assert module.network.widths == list(seen.reports[0].widths) < FULL
    assert "loss not measured (the module has no loss(batch))" in capsys.readouterr().out
