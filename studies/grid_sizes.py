"""A grid size for each layer or feature: does it pay to divide the intervals unevenly?

    python studies/grid_sizes.py layers
    python studies/grid_sizes.py features

Networks [d, 10, 1] with 12 intervals for each input of each layer, on average: *layers* moves six
of them from one layer to the other, *features* from one of two inputs to the other. G is held, and
the knots are placed again every 15 epochs, by ErrorDensity. Levenberg-Marquardt with the settings
of `--recipe best`, 200 epochs, the weights with the best validation loss, medians of three seeds.

*Chosen* takes, seed by seed, the division with the least validation loss. Its control is *even,
chosen*: that of three starts of the even division.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from statistics import geometric_mean, median

import torch
from lightning.pytorch import LightningModule, Trainer
from quiet_trainer import quiet_trainer
from torch import Tensor

from kanlit import LevenbergMarquardt, RegressionModule
from kanlit.adaptation import ErrorDensity
from kanlit.callbacks import GridAdaptationCallback, KeepBest
from kanlit.data import SharpData, SyntheticData
from kanlit.data.functions import FunctionData
from kanlit.nn import KANLayer

SHARP = ("peaks", "jump", "kink", "layer", "doppler", "front", "ring")
TASKS = {
    "layers": ["peaks", "jump", "kink", "layer", "doppler", "f1", "f3", "f5", "f8"],
    "features": ["front", "ring", "f1", "f3", "f7"],
}
EVEN = (12, 12)
DIVISIONS = (EVEN, (18, 6), (6, 18))


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


class DividedLayer(KANLayer):
    """A layer whose features have different numbers of intervals on the samples.

    All features share one G in memory. Those of a feature that should have fewer are placed above
    its samples, where its coefficients have no effect.
    """

    def __init__(self, out_features: int, sizes: Sequence[int]) -> None:
        super().__init__(len(sizes), out_features, grid_size=max(sizes), spline_order=4)
        self.sizes = tuple(sizes)

    def knots_for(self, breakpoints: Tensor) -> Tensor:
        rows = zip(breakpoints, self.sizes, strict=True)
        return super().knots_for(torch.stack([_coarser(row, size) for row, size in rows]))


def _coarser(breakpoints: Tensor, size: int) -> Tensor:
    """``size`` intervals by the same density, and the others, of equal width, above them."""
    held = len(breakpoints) - 1
    place = torch.linspace(0, held, size + 1, dtype=breakpoints.dtype)
    low = place.long().clamp(max=held - 1)
    inner = torch.lerp(breakpoints[low], breakpoints[low + 1], place - low)
    width = (inner[-1] - inner[0]) / size
    return torch.cat([inner, inner[-1] + width * torch.arange(1, held - size + 1)])


def trained(data: FunctionData, of: str, sizes: tuple[int, int], seed: int) -> tuple[float, float]:
    """Validation loss and relative L2 error on the test grid."""
    torch.manual_seed(seed)
    module = RegressionModule(
        data.target.dim,
        1,
        hidden=[10],
        spline_order=4,
        grid_size=sizes[0] if of == "layers" else EVEN[0],
        robust=0.1,
        optimizer=lambda parameters: LevenbergMarquardt(parameters, relative_ridge=0.01),
    )
    if of == "layers":
        second = KANLayer(10, 1, grid_size=sizes[1], spline_order=4)
        module.network.set_submodule("layers.1", second)
    else:
        module.network.set_submodule("layers.0", DividedLayer(10, sizes))
    keep = KeepBest()
    trainer = quiet_trainer(200, 1, [Every15Epochs(), keep])
    with contextlib.redirect_stdout(io.StringIO()):  # one line per adaptation
        trainer.fit(module, data)
    (tested,) = trainer.test(module, data, verbose=False)
    assert keep.best is not None
    return keep.best, tested["test/rel_l2"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("of", choices=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--tasks", nargs="+")
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    names = [f"{first}, {second}" for first, second in DIVISIONS]
    print(f"| G of the {options.of} | {' | '.join(names)} | chosen | even, chosen |")
    print("|---" * 6 + "|", flush=True)
    ratios = []
    for task in options.tasks or TASKS[options.of]:
        kind = SharpData if task in SHARP else SyntheticData
        divided, even = [], []
        for seed in options.seeds:
            data = kind(task, seed=seed)
            runs = [trained(data, options.of, sizes, seed) for sizes in DIVISIONS]
            others = [trained(data, options.of, EVEN, seed + 100 * i) for i in (1, 2)]
            divided.append(runs)
            even.append([runs[0], *others])
        errors = [median(runs[i][1] for runs in divided) for i in range(len(DIVISIONS))]
        errors += [median(min(runs)[1] for runs in choice) for choice in (divided, even)]
        ratios.append([error / errors[0] for error in errors])
        print(f"| {task} | {' | '.join(f'{error:.1e}' for error in errors)} |", flush=True)
    means = [geometric_mean(column) for column in zip(*ratios, strict=True)]
    print(f"| geometric mean over 12, 12 | {' | '.join(f'{mean:.2g}' for mean in means)} |")


if __name__ == "__main__":
    main()
