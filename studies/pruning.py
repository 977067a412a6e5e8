"""Compares a network that is pruned during training with one that is not.

    python studies/pruning.py --seeds 3

[2, 5, 1] learns exp(sin(πx) + y²) on [-1, 1]² from 1000 points with sparsity in its loss, and is
pruned after half of the epochs. The other network is trained for the same number of epochs without
sparsity. Then steps of both, and a step with sparsity, are timed in turn with Adam on 1000 and
20000 points.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from kanlit import GridAdaptationCallback, PruningCallback, RegressionModule
from kanlit.data import FormulaData
from kanlit.nn import PruningReport

FORMULA = "y = exp(sin(pi*x1) + x2**2)"
BOUNDS = {"x1": [-1.0, 1.0], "x2": [-1.0, 1.0]}


def data_of(seed: int) -> FormulaData:
    """1000 uniform points."""
    return FormulaData(FORMULA, BOUNDS, samples=1000, seed=seed, standardize=True)


class Errors(Callback):
    """Records the relative L2 error on the test grid before and after pruning."""

    def __init__(self, data: FormulaData) -> None:
        self.x = data.build("predict")[0].float()
        self.y = data.target(self.x)
        self.before = self.after = float("nan")

    @torch.no_grad()
    def of(self, module: LightningModule) -> float:
        return float((module(self.x) - self.y).norm() / self.y.norm())

    def before_pruning(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.before = self.of(pl_module)

    def on_pruning(
        self, trainer: Trainer, pl_module: LightningModule, report: PruningReport
    ) -> None:
        self.after = self.of(pl_module)


def train(seed: int, epochs: int, sparsity: float, prunes: bool) -> tuple[RegressionModule, Errors]:
    """Trains a network; returns it with its errors at the pruning."""
    torch.manual_seed(seed)
    data = data_of(seed)
    errors = Errors(data)
    half = epochs // 2
    module = RegressionModule(
        2,
        1,
        hidden=[5],
        sparsity_l1=sparsity,
        sparsity_entropy=sparsity,
        optimizer=lambda p: torch.optim.Adam(p, lr=1e-2),
    )
    adaptation = GridAdaptationCallback(schedule={0: 5, half + half // 4: 10})
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[adaptation, errors, *([PruningCallback([half])] if prunes else [])],
    )
    trainer.fit(module, data)
    return module, errors


def step_of(module: RegressionModule, points: int, sparse: bool = False) -> Callable[[], None]:
    """A training step on uniform points."""
    x = 2 * torch.rand(points, 2) - 1
    batch = x, data_of(0).target(x)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-9)

    def step() -> None:
        optimizer.zero_grad()
        loss = module.loss(batch)
        (loss + module.sparsity(batch) if sparse else loss).backward()
        optimizer.step()

    return step


def milliseconds(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Times of all steps in turn; medians over rounds of 50."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            step()
            start = time.process_time()
            for _ in range(50):
                step()
            times[name].append((time.process_time() - start) * 20)
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sparsity", type=float, default=0.03, help="weight of L1 and of entropy")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of timing")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    LightningModule.print = lambda self, *args, **kwargs: None  # type: ignore[method-assign]
    torch.set_num_threads(1)
    print("| seed | widths | before pruning | after pruning | final | final, not pruned |")
    print("|---|---|---|---|---|---|")
    for seed in range(options.seeds):
        pruned, errors = train(seed, options.epochs, options.sparsity, prunes=True)
        full, whole = train(seed, options.epochs, 0.0, prunes=False)
        print(
            f"| {seed} | {pruned.network.widths} | {errors.before:.2e} | {errors.after:.2e} | "
            f"{errors.of(pruned):.2e} | {whole.of(full):.2e} |",
            flush=True,
        )
    full.sparsity_l1 = full.sparsity_entropy = options.sparsity
    print("\n| network | points | processor ms per step |\n|---|---|---|")
    for points in (1000, 20000):
        steps = {
            f"{full.network.widths}": step_of(full, points),
            f"{full.network.widths}, sparsity in the loss": step_of(full, points, sparse=True),
            f"{pruned.network.widths}, pruned": step_of(pruned, points),
        }
        for name, value in milliseconds(steps, options.rounds).items():
            print(f"| {name} | {points} | {value:.3f} |")


if __name__ == "__main__":
    main()
