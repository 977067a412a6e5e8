"""Change of the loss at extensions up to G = 500 on f1.

    python studies/extend_to_500.py

[2, 10, 1], 4000 points, Adam with 1e-2, G = 3, 10, 50, 200, 500, in float32 and float64, for
several seeds. ``insert`` keeps the function exactly. ``replace`` replaces all knots.
``insert_above`` 1.01 replaces knots, too, but inserts them if replacing would raise the loss by
more than 1 %. The last lines give the largest rise and the final losses.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from kanlit.adaptation import AdaptationReport
from kanlit.callbacks import GridAdaptationCallback
from kanlit.data import SyntheticData
from kanlit.modules import RegressionModule

SIZES = [3, 10, 50, 200, 500]
WAYS: dict[str, dict[str, Any]] = {
    "insert": {"extension": "insert"},
    "replace": {"extension": "replace"},
    "insert_above 1.01": {"extension": "replace", "insert_above": 1.01},
}


class Recorder(Callback):
    def __init__(self) -> None:
        self.reports: list[AdaptationReport] = []
        self.loss = float("nan")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.loss = float(outputs["loss"])

    def on_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> None:
        self.reports.append(report)


def run(way: str, precision: str, seed: int, epochs: int, samples: int) -> Recorder:
    """The adaptations of one run; the first two, at G = 3, are not extensions."""
    torch.manual_seed(seed)
    recorder = Recorder()
    adaptation = GridAdaptationCallback(
        schedule=[3, *SIZES], max_loss_growth=float("inf"), **WAYS[way]
    )
    trainer = Trainer(
        max_epochs=epochs * (len(SIZES) + 1),
        accelerator="cpu",
        precision=precision,  # type: ignore[arg-type]
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[adaptation, recorder],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        data = SyntheticData("f1", samples=samples, standardize=False)
        trainer.fit(RegressionModule(2, 1), datamodule=data)
    del recorder.reports[:2]
    return recorder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100, help="epochs per G")
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 42")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| way | precision | seed | G | loss before | loss after | change | inserted |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    ends = []
    for way, precision in itertools.product(WAYS, ("32-true", "64-true")):
        jumps, last = [], []
        for seed in range(42, 42 + options.seeds):
            found = run(way, precision, seed, options.epochs, options.samples)
            last.append(found.loss)
            for report in found.reports:
                before, after = report.loss_before, report.loss_after
                assert before is not None
                assert after is not None
                jumps.append(100 * (after / before - 1))
                inserted = way == "insert" or report.loss_replaced is not None
                print(
                    f"| {way} | {precision} | {seed} | {report.grid_size} | {before:.6e} "
                    f"| {after:.6e} | {jumps[-1]:+.2g} % | {'yes' if inserted else 'no'} |",
                    flush=True,
                )
        losses = ", ".join(f"{loss:.1e}" for loss in last)
        ends.append(f"{way}, {precision}: largest rise {max(jumps):+.2g} %, final loss {losses}")
    print("\n".join(ends))


if __name__ == "__main__":
    main()
