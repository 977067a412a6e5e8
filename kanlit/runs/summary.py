"""The lines printed at the end of a training run, and errors of predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from kanlit.callbacks import Checkpoint
from kanlit.callbacks.checkpoint import writes_nothing
from kanlit.files import shown
from kanlit.plotting.style import r2_words

__all__ = [
    "best_checkpoint",
    "checkpoint_lines",
    "error_lines",
    "last_checkpoint",
    "score",
    "test_lines",
]

_PART = "test/rel_l2/"


def score(tested: Mapping[str, float]) -> tuple[str, str]:
    """Name and value of the main metric of a test.

    An equation without a known solution has residuals only.
    """
    if "test/accuracy" in tested:
        return "accuracy", f"{tested['test/accuracy']:.4f}"
    if "test/rel_l2" in tested:
        return "relative L2", f"{tested['test/rel_l2']:.3e}"
    return "loss on test points", f"{tested['test/loss']:.3e}"


def test_lines(tested: Mapping[str, float], rows: Mapping[str, int]) -> Iterator[str]:
    """What the main metric leaves out: errors by target or unknown, calibration, rows.

    Args:
        tested: Metrics of a test.
        rows: Number of rows of each part of the data, see ``TensorDataModule.row_counts``.
    """
    for key, value in tested.items():
        if key.startswith(_PART):
            yield f"relative L2 of {key.removeprefix(_PART)}: {value:.3e}"
    yield from error_lines({key.removeprefix("test/"): value for key, value in tested.items()})
    if "test/calibration_error" in tested:
        error, f1 = tested["test/calibration_error"], tested["test/f1"]
        yield f"calibration error of the probabilities: {error:.4f}, F1: {f1:.4f}"
    if "train" in rows:
        known = {"train": "training", "validate": "validation", "test": "test"}
        counts = [f"{rows[part]} {name}" for part, name in known.items() if part in rows]
        yield f"rows: {', '.join(counts)}"


def error_lines(errors: Mapping[str, float]) -> Iterator[str]:
    """A line for each target: R², RMSE and MAE in its units.

    Args:
        errors: By their names in :class:`~kanlit.metrics.TargetErrors`.
    """
    for key, rmse in errors.items():
        kind, _, name = key.partition("/")
        if kind == "rmse":
            r2 = errors.get(f"r2/{name}")
            fit = "" if r2 is None else f"R² {r2_words(r2)}, "
            yield f"errors of {name}: {fit}RMSE {rmse:.4g}, MAE {errors[f'mae/{name}']:.4g}"


def last_checkpoint(trainer: Trainer) -> str:
    """Path of the last checkpoint; empty if there is none."""
    keeper = _keeper(trainer)
    path = "" if keeper is None else keeper.last_model_path
    return shown(Path(path)) if Path(path).is_file() else ""


def best_checkpoint(trainer: Trainer) -> str:
    """Path of the checkpoint that is best on validation; empty if it is the last one."""
    keeper = _keeper(trainer)
    if keeper is None or not Path(keeper.best_model_path).is_file():
        return ""
    same = keeper.best_step == trainer.global_step
    return "" if same else shown(Path(keeper.best_model_path))


def checkpoint_lines(trainer: Trainer) -> Iterator[str]:
    """The last checkpoint, or the reason why there is none, and those of the user's callbacks."""
    if writes_nothing(trainer):
        cause = "fast_dev_run"
    elif _keeper(trainer) is None:
        cause = "enable_checkpointing false"
    else:
        cause = "nothing was trained"
    yield f"checkpoint: {last_checkpoint(trainer) or f'none kept ({cause})'}"
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and not isinstance(callback, Checkpoint):
            path = callback.best_model_path or callback.last_model_path
            kept = shown(Path(path)) if path else "none kept"
            yield f"checkpoint of {type(callback).__name__}: {kept}"


def _keeper(trainer: Trainer) -> Checkpoint | None:
    """The callback that saves the last and best checkpoints; None if none are saved."""
    kept = (c for c in trainer.checkpoint_callbacks if isinstance(c, Checkpoint))
    return None if writes_nothing(trainer) else next(kept, None)
