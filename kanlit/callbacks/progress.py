"""A progress bar over the epochs of a run, for runs with one step per epoch."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from torch import Tensor, nn

__all__ = ["EpochProgressBar", "grid_description", "run_length"]

_SHORT = {
    "train/loss": "loss",
    "val/loss": "val loss",
    "val/rel_l2": "L2",
    "val/accuracy": "accuracy",
}
TERMINAL_SECONDS, FILE_SECONDS = 0.2, 10.0  # least time between two refreshes


class EpochProgressBar(ProgressBar):
    """One bar from the first epoch to the last, with G and the latest metrics.

    Lightning's own bar restarts at each epoch, which takes longer than a full-batch step. This bar
    counts epochs (or steps, if only ``max_steps`` limits the run) and redraws at most every 0.2 s,
    or every 10 s if stderr is not a terminal. Validation, testing and prediction show no bar.

    It shows the metrics logged with ``prog_bar=True`` (the losses if there are none) and the
    relative L2 errors in ``trainer.callback_metrics``. They come first, so that a terminal of 80
    columns shows all of them: ``G 6 | loss 1.5e-06 | L2 6.5e-03 |  53%|████  | 530/1000 epochs``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._bar: Tqdm | None = None
        self._next_refresh = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_bar": None}  # an open bar cannot be pickled

    @property
    def bar(self) -> Tqdm | None:
        """The bar while training runs, else ``None``."""
        return self._bar

    @property
    def is_enabled(self) -> bool:
        return self._enabled  # LightningModule.print asks for it

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._enabled:
            return
        total, unit = run_length(trainer)
        self._bar = Tqdm(
            total=total,
            initial=trainer.current_epoch if unit == "epoch" else trainer.global_step,
            unit=unit,
            desc=grid_description(pl_module),
            dynamic_ncols=True,
            file=sys.stderr,
            bar_format="{desc} | {percentage:.0f} %|{bar}| {n_fmt}/{total_fmt} {unit}s "
            "{elapsed}<{remaining}",
        )
        self._next_refresh = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Epochs with several batches also show the batch.
        if trainer.num_training_batches > 1 and self._is_due():
            batches = f"batch {batch_idx + 1}/{trainer.num_training_batches}"
            self._refresh(trainer, pl_module, trainer.current_epoch, batches)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._is_due():
            # `trainer.current_epoch` is incremented after this hook.
            self._refresh(trainer, pl_module, trainer.current_epoch + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is not None:
            self._refresh(trainer, pl_module, trainer.current_epoch)
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._close()

    def print(self, *args: Any, sep: str = " ", **kwargs: Any) -> None:
        """Prints above the bar; called by ``LightningModule.print``."""
        if self._bar is None:
            print(*args, sep=sep, **kwargs)
        else:
            self._bar.write(sep.join(map(str, args)), **kwargs)

    def _is_due(self) -> bool:
        return self._bar is not None and time.monotonic() >= self._next_refresh

    def _refresh(
        self, trainer: Trainer, pl_module: LightningModule, epoch: int, *words: str
    ) -> None:
        bar = self._bar
        assert bar is not None
        bar.n = epoch if bar.unit == "epoch" else trainer.global_step
        parts = [grid_description(pl_module), *words, *_metric_words(trainer)]
        bar.set_description_str(" | ".join(parts), refresh=False)
        bar.refresh()
        seconds = TERMINAL_SECONDS if bar.fp.isatty() else FILE_SECONDS
        self._next_refresh = time.monotonic() + seconds

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def run_length(trainer: Trainer) -> tuple[int | None, str]:
    """Length of the run and its unit, ``"epoch"`` or ``"step"``; None if only time limits it.

    The unit is steps only if ``max_epochs`` is not set. If both are set, the earlier end counts.
    """
    epochs, steps = trainer.max_epochs, trainer.max_steps
    if epochs is None or epochs < 0:
        return (steps, "step") if steps >= 0 else (None, "epoch")
    batches = trainer.num_training_batches
    if steps >= 0 and 0 < batches < math.inf:
        steps_per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
        epochs = min(epochs, math.ceil(steps / steps_per_epoch))
    return epochs, "epoch"


def grid_description(module: nn.Module) -> str:
    """``G 10``, ``G 3 to 10`` if the layers differ, or ``Training`` if there is no grid."""
    found = [getattr(part, "grid_size", None) for part in module.modules()]
    sizes = [size for size in found if isinstance(size, int)]
    if not sizes:
        return "Training"
    low, high = min(sizes), max(sizes)
    return f"G {low}" if low == high else f"G {low} to {high}"


def _metric_words(trainer: Trainer) -> list[str]:
    chosen: dict[str, Any] = dict(trainer.progress_bar_metrics)
    wanted = ("rel_l2", "relative_l2", *(() if chosen else ("loss",)))
    chosen |= {k: v for k, v in trainer.callback_metrics.items() if k.endswith(wanted)}
    return [f"{_SHORT.get(name, name)} {_number(value)}" for name, value in chosen.items()]


def _number(value: object) -> str:
    if isinstance(value, Tensor):
        value = value.item()
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if 0.01 <= abs(value) < 1000 else f"{value:.1e}"
