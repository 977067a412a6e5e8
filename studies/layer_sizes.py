"""A grid size for each layer: does it pay to divide the intervals unevenly between two layers?

    python studies/layer_sizes.py

Networks [d, 10, 1] whose layers have G = 12 each, or 18 and 6, or 6 and 18. G is held, and the
knots are placed again every 15 epochs, by ErrorDensity. Levenberg-Marquardt with the settings of
`--recipe best`, 200 epochs, the weights with the best validation loss, medians of three seeds.
*Chosen* takes, seed by seed, the division with the least validation loss.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from statistics import geometric_mean, median

import torch
from lightning.pytorch import LightningModule, Trainer
from quiet_trainer import quiet_trainer

from kanlit import LevenbergMarquardt, RegressionModule
from kanlit.adaptation import ErrorDensity
from kanlit.callbacks import GridAdaptationCallback, KeepBest
from kanlit.data import SharpData, SyntheticData
from kanlit.data.functions import FunctionData
from kanlit.nn import KANLayer

SHARP = ("peaks", "jump", "kink", "layer", "doppler")
SMOOTH = ("f1", "f3", "f5", "f8")
DIVISIONS = ((12, 12), (18, 6), (6, 18))


class Every15Epochs(GridAdaptationCallback):
    """Places the knots of each layer again, with the G that it has."""

    def __init__(self) -> None:
        super().__init__(
            density=ErrorDensity(),
            schedule=[],
            uniform_mix=0.0,
            least_gap=0.001,
            optimizer_state="keep",
            max_loss_growth=1e9,
        )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch % 15 == 0:
            self.adapt(trainer, pl_module)


def trained(data: FunctionData, sizes: tuple[int, int], seed: int) -> tuple[float, float]:
    """Validation loss and relative L2 error on the test grid."""
    torch.manual_seed(seed)
    module = RegressionModule(
        data.target.dim,
        1,
        hidden=[10],
        spline_order=4,
        grid_size=sizes[0],
        robust=0.1,
        optimizer=lambda parameters: LevenbergMarquardt(parameters, relative_ridge=0.01),
    )
    layers = module.network.layers
    layers[1] = KANLayer(10, 1, grid_size=sizes[1], spline_order=4)
    keep = KeepBest()
    trainer = quiet_trainer(200, 1, [Every15Epochs(), keep])
    trainer.fit(module, data)
    (tested,) = trainer.test(module, data, verbose=False)
    assert keep.best is not None
    return keep.best, tested["test/rel_l2"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--tasks", nargs="+", default=[*SHARP, *SMOOTH])
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    names = [f"{first}, {second}" for first, second in DIVISIONS]
    print(f"| G of the layers | {' | '.join(names)} | chosen |\n" + "|---" * 5 + "|", flush=True)
    ratios = []
    for task in options.tasks:
        kind = SharpData if task in SHARP else SyntheticData
        runs = [
            [trained(kind(task, seed=seed), sizes, seed) for sizes in DIVISIONS]
            for seed in options.seeds
        ]
        errors = [median(run[i][1] for run in runs) for i in range(len(DIVISIONS))]
        errors.append(median(min(run)[1] for run in runs))
        ratios.append([error / errors[0] for error in errors])
        print(f"| {task} | {' | '.join(f'{error:.1e}' for error in errors)} |", flush=True)
    means = [geometric_mean(column) for column in zip(*ratios, strict=True)]
    print(f"| geometric mean over 12, 12 | {' | '.join(f'{mean:.2g}' for mean in means)} |")


if __name__ == "__main__":
    main()
