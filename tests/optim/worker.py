"""Trains with Levenberg-Marquardt in as many processes as it is told: ``worker.py OUT.pt DEVICES``.

The tests start this file once per rank (``start_ranks`` of conftest.py). Rank 0 saves, for each
scenario, where it ended and the largest difference between the ranks.
"""

from __future__ import annotations

import copy
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from kanlit.callbacks import GridAdaptationCallback
from kanlit.data import HelmholtzData, SyntheticData
from kanlit.modules import PDEModule, RegressionModule
from kanlit.optim import LevenbergMarquardt


class Losses(Callback):
    """The loss logged at each step, over all processes."""

    def __init__(self) -> None:
        self.logged: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.logged.append(float(trainer.callback_metrics["train/loss"]))


def fit(devices: int, module: LightningModule, data: Any, strategy: str = "ddp") -> dict[str, Any]:
    losses = Losses()
    trainer = Trainer(
        max_epochs=8,
        accelerator="cpu",
        devices=devices,
        strategy=strategy if devices > 1 else "auto",
        precision="64-true",
        callbacks=[GridAdaptationCallback(schedule=[3, 5]), losses],
        enable_checkpointing=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    trainer.fit(module, data)
    flat = torch.cat([t.detach().flatten() for t in module.state_dict().values()])
    apart = 0.0
    if devices > 1:
        every: list[Any] = [None] * devices
        torch.distributed.all_gather_object(every, flat)
        apart = max(float((other - every[0]).abs().max()) for other in every)
    damping = trainer.optimizers[0].state_dict()["state"][0]["damping"]
    return {"flat": flat, "apart": apart, "losses": losses.logged, "damping": damping}


def regression(samples: int, strategy: str = "ddp", **settings: Any) -> Callable[[int], Any]:
    def scenario(devices: int) -> Any:
        torch.manual_seed(1)
        module = RegressionModule(
            1, 1, hidden=[4], optimizer=lambda p: LevenbergMarquardt(p, **settings)
        )
        return fit(
            devices, module, SyntheticData("f4", samples=samples, standardize=False), strategy
        )

    return scenario


def helmholtz(devices: int) -> Any:
    torch.manual_seed(1)
    module = PDEModule(2, 1, hidden=[3], boundary_weight=10.0, optimizer=LevenbergMarquardt)
    # 81 collocation points for two, and the whole boundary for each.
    return fit(devices, module, HelmholtzData(points_per_axis=9, boundary_points=4))


SCENARIOS: dict[str, Callable[[int], Any]] = {
    "regression": regression(100),
    "uneven": regression(61),
    "penalties": regression(100, ridge=1e-6, smoothness=1e-8),
    "find_unused": regression(100, "ddp_find_unused_parameters_true"),
    "few": regression(31),
    "helmholtz": helmholtz,
}


def main() -> None:
    out, devices = sys.argv[1], int(sys.argv[2])
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    LightningModule.print = lambda self, *args, **kwargs: None  # type: ignore[method-assign]
    results = {name: copy.deepcopy(scenario(devices)) for name, scenario in SCENARIOS.items()}
    if devices == 1 or torch.distributed.get_rank() == 0:
        torch.save(results, out)


if __name__ == "__main__":
    main()
