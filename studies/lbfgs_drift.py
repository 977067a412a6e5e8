"""Compares L-BFGS on two processes, and on shuffled rows, with L-BFGS on one process.

    python studies/lbfgs_drift.py

In exact arithmetic all three runs are equal: 100 samples of f4, [1,4,1], float64, full batch, 100
epochs with extensions at epochs 25, 50 and 75. Only the order of sums differs. The table has the
final loss on one process, and the largest difference of any parameter or knot from it after any
epoch.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from kanlit import GridAdaptationCallback, RegressionModule
from kanlit.data import SyntheticData
from kanlit.data.base import Part

SETTINGS: dict[str, dict[str, Any]] = {
    "max_iter 2, lr 0.3": {"max_iter": 2, "lr": 0.3},
    "max_iter 20 (torch's own)": {"max_iter": 20},
    "max_iter 20, strong_wolfe": {"max_iter": 20, "line_search_fn": "strong_wolfe"},
    "max_iter 20, strong_wolfe, tolerance_grad 1e-3": {
        "max_iter": 20,
        "line_search_fn": "strong_wolfe",
        "tolerance_grad": 1e-3,
    },
}
RUNS = {"one": (1, False), "two": (2, False), "shuffled": (1, True)}


class Data(SyntheticData):
    """The same samples, optionally in another order."""

    shuffled = False

    def points(self, part: Part) -> Tensor:
        x = super().points(part)
        if part != "train" or not self.shuffled:
            return x
        return x[torch.randperm(len(x), generator=torch.Generator().manual_seed(7))]


class Record(Callback):
    """Records parameters and knots after every epoch, and the loss."""

    def __init__(self) -> None:
        self.states: list[Tensor] = []
        self.loss = float("nan")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.loss = float(outputs["loss"])
        tensors = pl_module.state_dict().values()
        self.states.append(torch.cat([t.detach().double().flatten() for t in tensors]))


def train(path: str, run: str, setting: str, epochs: int) -> None:
    """Trains one run and writes its result to a file."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    devices, shuffled = RUNS[run]
    torch.manual_seed(1)
    module = RegressionModule(
        1, 1, hidden=[4], optimizer=lambda p: torch.optim.LBFGS(p, **SETTINGS[setting])
    )
    data = Data("f4", samples=100, standardize=False)
    data.shuffled = shuffled
    record = Record()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        precision="64-true",
        callbacks=[GridAdaptationCallback(schedule=[3, 4, 6, 8]), record],
        enable_checkpointing=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, datamodule=data)
    if trainer.is_global_zero:
        torch.save({"states": record.states, "loss": record.loss}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)  # a file, a run, a setting
    options = parser.parse_args()
    if options.run:
        path, run, setting = options.run
        train(path, run, setting, options.epochs)
        return
    print("| L-BFGS | final loss | two ranks | shuffled rows |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for setting in SETTINGS:
            found = {}
            for run in RUNS:
                path = Path(folder, f"{run}.pt")
                words = ["--epochs", str(options.epochs), "--run", str(path), run, setting]
                subprocess.run(
                    [sys.executable, __file__, *words], check=True, stdout=subprocess.DEVNULL
                )
                found[run] = torch.load(path)
            cells = [f"{found['one']['loss']:.2e}"]
            for run in ("two", "shuffled"):
                pairs = zip(found["one"]["states"], found[run]["states"], strict=True)
                apart = max(float((a - b).abs().max()) for a, b in pairs)
                cells.append(f"{apart:.1e}")
            print(f"| {setting} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
