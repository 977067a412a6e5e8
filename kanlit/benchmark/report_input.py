"""Reads the runs and curves in the folder of a benchmark."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from kanlit.benchmark.comparison import METRICS
from kanlit.benchmark.results import Key, curve_path, rows_of
from kanlit.errors import ConfigurationError

__all__ = ["read_curves", "read_runs"]

_KEY = list(Key._fields)


def read_runs(folder: Path) -> pd.DataFrame:
    """The rows of ``results.csv`` in ``folder``, with the column ``criterion``.

    It holds the relative L2 error, or the cross-entropy of classes, and is infinite for failed
    runs.

    Raises:
        ConfigurationError: If the file is missing or empty, or is not a table of runs.
    """
    path = folder / "results.csv"
    again = f"run kanlit benchmark --out {folder} first"
    if not path.is_file():
        raise ConfigurationError(f"there is no {path}: {again}")
    try:
        rows = [vars(row) for row in rows_of(path.read_text(encoding="utf-8"), path)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        words = " ".join(str(error).split())
        raise ConfigurationError(f"{path} is not a table of runs ({words}): {again}") from None
    if not rows:
        raise ConfigurationError(f"{path} contains no runs: {again}")
    errors = ("rel_l2", "cross_entropy")
    numbers = (*errors, *METRICS, "wall_s", "adapt_s")
    runs = pd.DataFrame(rows).astype(dict.fromkeys(numbers, float))
    found = runs[errors[0]].fillna(runs[errors[1]])
    failed = (runs["error"].str.strip() != "") | ~np.isfinite(found)
    return runs.assign(criterion=found.mask(failed, np.inf))


def read_curves(folder: Path, runs: pd.DataFrame) -> pd.DataFrame:
    """Median training losses over the seeds of successful runs.

    Curves of different seeds may have different epochs. Their logarithms are interpolated linearly
    to the epochs of all.

    Returns:
        Columns ``benchmark, task, density, recipe, epoch, loss, adapted``; empty if no run has a
        curve.

    Raises:
        ConfigurationError: If a curve cannot be read.
    """
    groups = _KEY[:4]
    medians = [pd.DataFrame(columns=[*groups, "epoch", "loss", "adapted"])]
    for group, own in runs[np.isfinite(runs["criterion"])].groupby(groups):
        benchmark, task, density, recipe = map(str, group)
        paths = [
            curve_path(folder, Key(benchmark, task, density, recipe, int(seed)))
            for seed in own["seed"]
        ]
        curves = [_read_curve(path) for path in paths if path.is_file()]
        if not curves:
            continue
        epochs = np.unique(np.concatenate([curve["epoch"] for curve in curves]))
        losses = [
            np.exp(np.interp(epochs, curve["epoch"], np.log(curve["loss"]), np.nan, np.nan))
            for curve in curves
        ]
        adapted = np.concatenate([curve.loc[curve["adapted"], "epoch"] for curve in curves])
        table = pd.DataFrame({"epoch": epochs, "loss": np.nanmedian(losses, axis=0)})
        table["adapted"] = np.isin(epochs, adapted)
        medians.append(table.assign(**dict(zip(groups, map(str, group), strict=True))))
    return pd.concat(medians[1:]) if len(medians) > 1 else medians[0]


def _read_curve(path: Path) -> pd.DataFrame:
    """``epoch, loss, adapted`` of one run; a zero loss becomes the smallest normal float."""
    try:
        curve = pd.read_csv(path, usecols=["epoch", "train_loss", "adapted"])
        epoch, loss = curve["epoch"].astype(np.float64), curve["train_loss"].astype(np.float64)
        adapted = curve["adapted"].astype(str).str.lower().isin(["1", "1.0", "true"])
    except (ValueError, pd.errors.ParserError) as error:
        words = " ".join(str(error).split())
        raise ConfigurationError(f"{path} is not a loss curve ({words}): remove it") from None
    loss = loss.clip(lower=np.finfo(np.float64).tiny)
    table = pd.DataFrame({"epoch": epoch, "loss": loss, "adapted": adapted})
    return table.dropna().sort_values("epoch")
