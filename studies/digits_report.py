"""The tables of digits.py: accuracies, paired tests over the seeds, time and memory."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from scipy.stats import t, wilcoxon

from kanlit.benchmark.markdown import table

__all__ = ["report"]

_COSTS = ("F1, %", "calibration error, %", "seconds", "adapting", "memory, MiB")


def report(rows: pd.DataFrame, networks: Sequence[str], placings: Sequence[str]) -> str:
    """The tables as Markdown.

    Args:
        rows: Rows of the CSV file, one per run.
        networks: Names of the KANs.
        placings: How their knots are placed; the others are compared with the first.
    """
    lines = []
    ours = rows[rows.network.isin(networks)]
    # Only complete seeds: a mean over some networks is not comparable with one over all.
    whole = ours.groupby(["method", "seed"]).filter(lambda runs: len(runs) == len(networks))
    mean = whole.groupby(["method", "seed"], as_index=False).mean(numeric_only=True)
    parts = {f"Mean of the {len(networks)} networks": mean}
    parts |= {network: ours[ours.network == network] for network in networks}
    for title, part in parts.items():
        lines += [f"### {title}", ""]
        lines += table(
            [
                "knots by",
                "accuracy, %",
                "difference",
                "p",
                "loss",
                "p",
                *_COSTS,
                "knots moved",
            ],
            [
                _row(part, method, placings[0])
                for method in placings
                if (part.method == method).any()
            ],
        )
    others = rows[~rows.method.isin(placings)]
    if others.empty:
        return "\n".join(lines)
    lines += ["### scikit-learn's classifiers", ""]
    header = ["classifier", "parameters", "accuracy, %", "loss", *_COSTS[:-2], _COSTS[-1]]
    body = []
    for (method, network), part in others.groupby(["method", "network"], sort=False):
        label = method if method == network else f"{method} {network}"
        count = f"{part.parameters.iloc[0]:.0f}" if part.parameters.iloc[0] else "–"
        costs = _costs(part)
        figures = [label, count, _spread(100 * part.accuracy), _mean(part.loss)]
        body.append([*figures, *costs[:-2], costs[-1]])
    return "\n".join(lines + table(header, body))


def _row(part: pd.DataFrame, method: str, baseline: str) -> list[str]:
    mine = part[part.method == method].set_index("seed").sort_index()
    base = part[part.method == baseline].set_index("seed").sort_index()
    compared = ["", "", _mean(mine.loss), ""]
    if method != baseline:
        gain = 100 * (mine.accuracy - base.accuracy)
        compared = [_interval(gain), _p(gain), _mean(mine.loss), _p(mine.loss - base.loss)]
    moved = "–" if mine.moved.isna().all() else f"{mine.moved.mean():.2f}"
    return [method, _spread(100 * mine.accuracy), *compared, *_costs(mine), moved]


def _costs(part: pd.DataFrame) -> list[str]:
    return [
        f"{100 * part.f1.mean():.2f}",
        f"{100 * part.calibration_error.mean():.2f}",
        f"{part.seconds.median():.2f}",
        f"{part.adapting.median():.2f}",
        f"{part.memory.median():.0f}",
    ]


def _p(differences: pd.Series) -> str:
    """Two-sided Wilcoxon signed-rank test over the seeds; ties are left out."""
    values = differences[differences.abs() > 1e-9]
    return f"{wilcoxon(values).pvalue:.3f}" if len(values) else "1"


def _interval(differences: pd.Series) -> str:
    """Mean and half of its 95 % interval by Student's t."""
    count = differences.count()
    half = t.ppf(0.975, count - 1) * differences.sem() if count > 1 else float("nan")
    return f"{differences.mean():+.2f} ± {half:.2f}"


def _spread(values: pd.Series) -> str:
    return f"{values.mean():.2f} ± {values.std():.2f}"


def _mean(values: pd.Series) -> str:
    return f"{values.mean():.4f}"
