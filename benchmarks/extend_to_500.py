"""How the loss takes extensions up to G = 500 on f1.

    python benchmarks/extend_to_500.py

[2, 10, 1], 4000 points, Adam 1e-2, G = 3, 10, 50, 200, 500, in float32 and float64. With
``insert`` the function is kept exactly; with ``replace`` all knots are placed anew.
"""

from __future__ import annotations

import argparse
import contextlib
import io

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from kanlit.adaptation import AdaptationReport
from kanlit.callbacks import GridAdaptationCallback
from kanlit.data import SyntheticData
from kanlit.modules import RegressionModule

SIZES = [3, 10, 50, 200, 500]


class Recorder(Callback):
    def __init__(self) -> None:
        self.reports: list[AdaptationReport] = []

    def on_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> None:
        self.reports.append(report)


def reports(extension: str, precision: str, epochs: int, samples: int) -> list[AdaptationReport]:
    """The adaptations of one run; the first, at G = 3, extends nothing."""
    torch.manual_seed(42)
    recorder = Recorder()
    adaptation = GridAdaptationCallback(
        schedule=[3, *SIZES],
        extension=extension,  # type: ignore[arg-type]
        max_loss_growth=float("inf"),
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
        trainer.fit(RegressionModule(2, 1), datamodule=SyntheticData("f1", samples=samples))
    return recorder.reports[2:]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100, help="at each G")
    parser.add_argument("--samples", type=int, default=4000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| extension | precision | G | loss before | loss after | change |")
    print("|---|---|---|---|---|---|", flush=True)
    for extension in ("insert", "replace"):
        for precision in ("32-true", "64-true"):
            for report in reports(extension, precision, options.epochs, options.samples):
                before, after = report.loss_before, report.loss_after
                assert before is not None
                assert after is not None
                print(
                    f"| {extension} | {precision} | {report.grid_size} | {before:.6e} "
                    f"| {after:.6e} | {100 * (after / before - 1):+.2g} % |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
