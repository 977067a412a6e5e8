"""Trains small networks in as many processes as it is told: ``worker.py OUT.pt DEVICES``.

The tests start this file once per rank (``start_ranks`` of conftest.py). Rank 0 saves, for each
scenario, where it ended and the largest difference between the ranks.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import kanlit.callbacks.grid_adaptation as callback_module
from kanlit.adaptation import (
    AdaptationReport,
    ImportanceContext,
    ImportanceDensity,
    InputDensity,
    LossDensity,
    PeriodicTrigger,
    PlateauTrigger,
)
from kanlit.callbacks import (
    Checkpoint,
    Continuation,
    GridAdaptationCallback,
    Horizon,
    KeepBest,
    PruningCallback,
    TimeWindows,
)
from kanlit.data import EquationData, HelmholtzData, ResidualDraw, ScikitData, SyntheticData
from kanlit.errors import ConfigurationError
from kanlit.modules import ClassificationModule, PDEModule, RegressionModule
from kanlit.nn import KANLayer
from kanlit.optim import LevenbergMarquardt
from kanlit.problems import Advection, Burgers

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2),
    "lbfgs": lambda p: torch.optim.LBFGS(p, max_iter=2, lr=0.3),
    # Twenty inner iterations amplify rounding where they go on to the bottom of a valley, on one
    # process too (studies/lbfgs_drift.py); a gradient that is small enough ends them before.
    "lbfgs of twenty": lambda p: torch.optim.LBFGS(
        p, max_iter=20, tolerance_grad=1e-3, line_search_fn="strong_wolfe"
    ),
    "wolfe": lambda p: torch.optim.LBFGS(p, max_iter=2, line_search_fn="strong_wolfe"),
}


DECISIONS = ("at", "undone", "inserted", "inner")


class Watch(Callback):
    """When grids were adapted, and to which G."""

    def __init__(self) -> None:
        self.at: list[tuple[int, int]] = []
        self.inner: list[int] = []  # iterations of L-BFGS in each step, since its last start

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        state: dict[str, Any] = next(iter(trainer.optimizers[0].state.values()), {})
        self.inner.append(int(state.get("n_iter", 0)))

    def on_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> None:
        self.at.append((trainer.current_epoch, report.grid_size))


class Own(LightningModule):
    """A user's own module, with a parameter that the loss does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(KANLayer(2, 3), nn.Tanh(), KANLayer(3, 1))
        self.idle = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        (x,) = batch
        return (self(x) - torch.sin(3 * x[:, :1]) * x[:, 1:]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Spoilt(ImportanceDensity):
    """Weights that are not finite from the second adaptation on."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, context: ImportanceContext) -> Tensor:
        self.calls += 1
        return torch.full_like(
            context.network_input[:, 0], 1.0 if self.calls <= 2 else float("nan")
        )


class Run:
    """One fit, with what the scenarios have in common."""

    def __init__(self, devices: int) -> None:
        self.devices = devices

    def __call__(
        self,
        adaptation: GridAdaptationCallback,
        module: LightningModule | None = None,
        data: Any = None,
        epochs: int = 20,
        strategy: str = "ddp",
        callbacks: tuple[Callback, ...] = (),
        ckpt_path: str | None = None,
        precision: Any = "64-true",
        **settings: Any,
    ) -> dict[str, Any]:
        torch.manual_seed(1)
        module = module or regression()
        watch = Watch()
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            devices=self.devices,
            strategy=strategy if self.devices > 1 else "auto",
            precision=precision,
            callbacks=[adaptation, watch, *callbacks],
            enable_checkpointing=any(isinstance(each, Checkpoint) for each in callbacks),
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            check_val_every_n_epoch=5,
            **settings,
        )
        data = data or SyntheticData("f4", samples=60, standardize=False)
        loaders = {"datamodule": data} if hasattr(data, "setup") else {"train_dataloaders": data}
        trainer.fit(module, ckpt_path=ckpt_path, **loaders)
        flat = torch.cat([t.detach().double().flatten() for t in module.state_dict().values()])
        counts = {"undone": adaptation.undone, "inserted": adaptation.inserted}
        state = {"at": watch.at, **counts, "inner": watch.inner, "flat": flat}
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if "val" in k}
        return {**state, "metrics": metrics, "apart": self._apart(state, module)}

    def _apart(self, state: dict[str, Any], module: LightningModule) -> float:
        """Largest difference between the ranks; infinite where they took other decisions."""
        if self.devices == 1:
            return 0.0
        every: list[Any] = [None] * self.devices
        torch.distributed.all_gather_object(every, state)
        first = every[0]
        if any(other[key] != first[key] for other in every for key in DECISIONS):
            return float("inf")
        return max(float((other["flat"] - first["flat"]).abs().max()) for other in every)


def regression(optimizer: str = "adam") -> RegressionModule:
    torch.manual_seed(1)
    return RegressionModule(1, 1, hidden=[4], optimizer=OPTIMIZERS[optimizer])


def extended(
    optimizer: str, epochs: int = 40, samples: int = 100
) -> Callable[[Run], dict[str, Any]]:
    def scenario(run: Run) -> dict[str, Any]:
        adaptation = GridAdaptationCallback(schedule=[3, 4, 6, 8])
        data = SyntheticData("f4", samples=samples, standardize=False)
        return run(adaptation, regression(optimizer), data, epochs=epochs)

    return scenario


def inserted(run: Run) -> dict[str, Any]:
    """An extension costs more with replaced knots than it may, another does not."""
    torch.manual_seed(42)
    module = RegressionModule(1, 1, hidden=[5], optimizer=OPTIMIZERS["adam"])
    schedule = {0: 3, 40: 6, 80: 50}
    adaptation = GridAdaptationCallback(schedule=schedule, insert_above=1.01)
    return run(adaptation, module, SyntheticData("f2", samples=61, standardize=False), epochs=90)


def plateau() -> GridAdaptationCallback:
    trigger = PlateauTrigger(patience=2, threshold=0.3, cooldown=2)
    return GridAdaptationCallback(schedule=[3, 4, 5, 6], trigger=trigger)


def helmholtz(run: Run) -> dict[str, Any]:
    torch.manual_seed(1)
    module = PDEModule(2, 1, hidden=[3], optimizer=OPTIMIZERS["adam"])
    data = HelmholtzData(points_per_axis=5, boundary_points=4)  # 25 points: uneven
    return run(GridAdaptationCallback(schedule=[3, 5]), module, data, epochs=20)


def redrawn(run: Run) -> dict[str, Any]:
    """Points are redrawn every second epoch, 41 of them: uneven; the equation changes in stages."""
    torch.manual_seed(1)
    module = PDEModule(2, 1, hidden=[3], optimizer=LevenbergMarquardt, causality=1.0)
    data = EquationData(
        Burgers(0.1),
        sampling="residual",
        points=41,
        condition_points=7,
        redraw=ResidualDraw(pool=100, every=2),
    )
    stages = (Continuation("viscosity", {0: 0.3, 2: None}), Horizon([0.5, None]))
    return run(GridAdaptationCallback(schedule=[3, 5]), module, data, epochs=6, callbacks=stages)


def windows(run: Run) -> dict[str, Any]:
    """A network for each window of time, tied to the last, on uneven points."""
    torch.manual_seed(1)
    module = PDEModule(3, 1, hidden=[2], optimizer=LevenbergMarquardt)
    data = EquationData(Advection(2.0), sampling="uniform", points=41, condition_points=7)
    stages = (TimeWindows(2), KeepBest())
    return run(GridAdaptationCallback(schedule=[3, 5]), module, data, epochs=6, callbacks=stages)


def balanced(run: Run) -> dict[str, Any]:
    torch.manual_seed(1)
    module = PDEModule(2, 1, hidden=[3], optimizer=OPTIMIZERS["adam"], weights="balanced")
    data = HelmholtzData(points_per_axis=5, boundary_points=4)
    return run(GridAdaptationCallback(schedule=[3, 5]), module, data, epochs=12)


def classes(run: Run) -> dict[str, Any]:
    torch.manual_seed(1)
    module = ClassificationModule(4, 3, hidden=[3], optimizer=OPTIMIZERS["adam"])
    data = ScikitData("iris")  # 105 rows to train on: uneven
    return run(GridAdaptationCallback(LossDensity(), schedule=[3, 5]), module, data)


def mini_batches(run: Run) -> dict[str, Any]:
    adaptation = GridAdaptationCallback(
        schedule=[3, 5, 7], trigger=PeriodicTrigger(5), interval="step"
    )
    return run(adaptation, data=SyntheticData("f4", samples=61, batch_size=7, standardize=False))


def own_module(run: Run, strategy: str = "ddp_find_unused_parameters_true") -> dict[str, Any]:
    torch.manual_seed(1)
    x = 2 * torch.rand(50, 2, dtype=torch.float64) - 1
    loader = DataLoader(TensorDataset(x), batch_size=13, shuffle=True)
    adaptation = GridAdaptationCallback(InputDensity(), schedule={0: 3, 4: 5, 8: 5, 12: 8})
    return run(adaptation, Own(), loader, strategy=strategy)


def wrapper_not_renewed(run: Run) -> dict[str, Any]:
    """What would happen: the reason for the second half of ``unwrapped``."""
    renewed = callback_module.unwrapped

    @contextlib.contextmanager
    def taken_off(trainer: Trainer) -> Iterator[None]:
        trainer.strategy.model = trainer.lightning_module
        yield

    callback_module.unwrapped = taken_off
    try:
        return own_module(run)
    finally:
        callback_module.unwrapped = renewed


def undone(run: Run) -> dict[str, Any]:
    return run(GridAdaptationCallback(Spoilt(), schedule={0: 3, 5: 5, 10: 5}))


def pruned(run: Run) -> dict[str, Any]:
    """On 61 samples: sparsity is that of all rows, not the mean of two shares'."""
    torch.manual_seed(1)
    module = RegressionModule(
        1, 1, hidden=[6], sparsity_l1=0.05, sparsity_entropy=0.05, optimizer=OPTIMIZERS["adam"]
    )
    pruning = PruningCallback([8], node_threshold=0.5, max_loss_growth=1e9)
    adaptation = GridAdaptationCallback(schedule={0: 3, 12: 5})
    data = SyntheticData("f4", samples=61, standardize=False)
    result = run(adaptation, module, data, callbacks=(pruning,))
    return {**result, "widths": module.network.widths}


def resumed(
    optimizer: str, adaptation: Callable[[], GridAdaptationCallback], batch_size: int | None
) -> Callable[[Run], dict[str, Any]]:
    """Broken off after 11 epochs of 20; the difference to an unbroken run is ``lost``."""

    def scenario(run: Run) -> dict[str, Any]:
        def go(folder: str, name: str, epochs: int = 20, start: str | None = None) -> Any:
            data = SyntheticData("f4", samples=31, batch_size=batch_size, standardize=False)
            keep = Checkpoint(dirpath=str(Path(folder, name)), every_n_epochs=11)
            return run(
                adaptation(),
                regression(optimizer),
                data,
                epochs=epochs,
                callbacks=(keep,),
                ckpt_path=start,
            )

        folder = tempfile.gettempdir() + "/" + Path(sys.argv[1]).stem  # the same on every rank
        whole = go(folder, f"{optimizer}-whole")
        # Its 11th epoch's checkpoint has been overwritten at the end: once more, to be broken off.
        broken = Stop(11)
        data = SyntheticData("f4", samples=31, batch_size=batch_size, standardize=False)
        keep = Checkpoint(dirpath=str(Path(folder, f"{optimizer}-first")), every_n_epochs=11)
        with contextlib.suppress(StoppedError):
            run(adaptation(), regression(optimizer), data, callbacks=(keep, broken))
        last = str(Path(folder, f"{optimizer}-first", "last.ckpt"))
        second = go(folder, f"{optimizer}-second", start=last)
        same = second["flat"].shape == whole["flat"].shape
        lost = float((second["flat"] - whole["flat"]).abs().max()) if same else float("inf")
        if second["metrics"] != whole["metrics"]:
            lost = float("inf")
        return {**second, "lost": lost, "apart": max(second["apart"], whole["apart"])}

    return scenario


class StoppedError(Exception):
    """In place of a kill, on all processes at once."""


class Stop(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.current_epoch == self.epoch + 2:
            raise StoppedError


def one_sample(run: Run) -> dict[str, Any]:
    try:
        result = run(
            GridAdaptationCallback(schedule=[3]),
            data=SyntheticData("f4", samples=1, standardize=False),
        )
    except ConfigurationError as error:
        return {"error": str(error), "apart": 0.0}
    return result


SCENARIOS: dict[str, Callable[[Run], dict[str, Any]]] = {
    "adam": extended("adam", samples=61),  # uneven
    "lbfgs": extended("lbfgs"),
    "wolfe": extended("wolfe", samples=61),
    "lbfgs of twenty": extended("lbfgs of twenty", epochs=100),
    "plateau": lambda run: run(plateau(), epochs=40),
    "find_unused": lambda run: run(
        plateau(), epochs=40, strategy="ddp_find_unused_parameters_true"
    ),
    "float32": lambda run: run(GridAdaptationCallback(schedule=[3, 5, 7]), precision="32-true"),
    "helmholtz": helmholtz,
    "redrawn": redrawn,
    "windows": windows,
    "balanced": balanced,
    "classes": classes,
    "mini-batches": mini_batches,
    "own": own_module,
    "not renewed": wrapper_not_renewed,
    "undone": undone,
    "inserted": inserted,
    "pruned": pruned,
    "resumed adam": resumed("adam", plateau, 4),
    "resumed lbfgs": resumed("lbfgs", lambda: GridAdaptationCallback(schedule=[3, 5, 8]), None),
    "one sample": one_sample,
}
# What has no counterpart in one process.
SEVERAL_ONLY = {
    "not renewed",
    "resumed adam",
    "resumed lbfgs",
    "own",
    "mini-batches",
    "balanced",
}


def main() -> None:
    out, devices = Path(sys.argv[1]), int(sys.argv[2])
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    LightningModule.print = lambda self, *args, **kwargs: None  # type: ignore[method-assign]
    results: dict[str, Any] = {}
    for name, scenario in SCENARIOS.items():
        if devices > 1 or name not in SEVERAL_ONLY:
            results[name] = copy.deepcopy(scenario(Run(devices)))
    if devices == 1 or torch.distributed.get_rank() == 0:
        torch.save(results, out)


if __name__ == "__main__":
    main()
