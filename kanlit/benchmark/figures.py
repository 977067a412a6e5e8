"""Figures per task of a benchmark: final errors and convergence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from kanlit.benchmark.comparison import in_order
from kanlit.benchmark.statistics import Array
from kanlit.plotting.style import FONT, GREY, color, grey, head, marker, tidy

__all__ = ["convergence_figure", "median_figure"]

_MOST_COLUMNS = 5


def median_figure(
    runs: pd.DataFrame,
    medians: pd.DataFrame,
    densities: Sequence[str],
    error: str,
    title: str,
    published: pd.DataFrame | None = None,
) -> Figure:
    """Plots the medians of each task on a logarithmic axis, joined by a line, and the single runs.

    Args:
        runs: One row per run of one suite; ``criterion`` is infinite for failed runs.
        medians: Result of ``median_table`` for that suite.
        densities: Names, in the order of their colors.
        error: Name of the criterion.
        title: Title of the figure.
        published: ``task, density, paper``, the published medians, drawn as hollow markers.
    """
    tasks = in_order(medians["task"])
    step = 0.27 if len(densities) < 3 else 0.12 * len(densities)
    handles = [
        Line2D([], [], color=color(i), marker=marker(i), ls="", ms=6, label=name)
        for i, name in enumerate(densities)
    ]
    handles.append(grey("single run", marker=".", ms=5, alpha=0.6))
    if published is not None:
        handles.append(grey("published median", marker="o", ms=6, mfc="white", mew=1.1))
    if not np.isfinite(runs["criterion"]).all():
        handles.append(grey("failed run", marker="x", ms=5))
    height = 0.65 + step * len(tasks)
    page = head(height, title, handles)
    (axes,) = page.row(1, height, below=0.46)
    finite = runs.loc[np.isfinite(runs["criterion"]) & (runs["criterion"] > 0), "criterion"]
    wanted = [*finite, *([] if published is None else published["paper"])]
    low, high = min(wanted, default=0.1), max(wanted, default=1.0)
    pad = max((high / low) ** 0.04, 1.1)
    axes.set_xscale("log")
    axes.set_xlim(low / pad, high * pad)
    for i in range(0, len(tasks), 2):
        axes.axhspan(i - 0.5, i + 0.5, color=GREY, alpha=0.08, lw=0)
    room = 0.0 if len(densities) == 1 else 0.36 if len(densities) == 2 else 0.7
    shifts = np.linspace(-room / 2, room / 2, len(densities))
    _join(axes, medians, tasks, dict(zip(densities, shifts, strict=True)))
    for k, (density, shift) in enumerate(zip(densities, shifts, strict=True)):
        style: dict[str, Any] = {"color": color(k), "ls": ""}
        x, y = _dots(runs, density, "criterion", tasks, shift)
        failed = ~np.isfinite(x)
        axes.plot(x, y, marker=".", ms=4, alpha=0.45, zorder=2, **style)
        edge = np.full(int(failed.sum()), high * pad**0.6)
        axes.plot(edge, y[failed], marker="x", ms=5, zorder=2, **style)
        if published is not None:
            x, y = _dots(published, density, "paper", tasks, shift)
            axes.plot(x, y, marker=marker(k), ms=6.5, mfc="none", mew=1.1, zorder=3, **style)
        x, y = _dots(medians, density, "median", tasks, shift)
        axes.plot(x, y, marker=marker(k), ms=6, zorder=4, **style)
    axes.set_ylim(len(tasks) - 0.5, -0.5)
    axes.set_yticks(range(len(tasks)), tasks)
    axes.set_xlabel(error, fontsize=FONT, labelpad=1)
    axes.grid(axis="x", alpha=0.3, lw=0.5)
    tidy(axes, 8)
    axes.tick_params(axis="y", length=0)
    return page.figure


def convergence_figure(
    curves: pd.DataFrame, tasks: Sequence[str], densities: Sequence[str], title: str
) -> Figure:
    """Plots the median loss against the epoch, one panel per task; ticks mark adaptations.

    Args:
        curves: ``task, density, epoch, loss, adapted``; ``loss`` is the median over the seeds.
        tasks: Tasks, one panel each.
        densities: Names, in the order of their colors.
        title: Title of the figure.
    """
    columns = min(_MOST_COLUMNS, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    height = 1.95 if columns > 2 else 3.0
    lines = [Line2D([], [], color=color(i), label=name) for i, name in enumerate(densities)]
    handles = [*lines, grey("adaptation", marker="|", ms=7, mew=1.4)]
    page = head(height * rows + 0.05, title, handles)
    page.skip(0.05)
    panels = page.panels(len(tasks), columns, height, below=0.5)
    for i, (axes, task) in enumerate(zip(panels, tasks, strict=True)):
        _draw_curves(axes, curves[curves["task"] == task], densities)
        axes.set_title(task, fontsize=FONT, pad=2)
        if i % columns == 0:
            axes.set_ylabel("loss", fontsize=FONT)
        if i + columns >= len(tasks):
            axes.set_xlabel("epoch", fontsize=FONT, labelpad=1)
    return page.figure


def _draw_curves(axes: Axes, curves: pd.DataFrame, densities: Sequence[str]) -> None:
    adapted = {}
    for k, density in enumerate(densities):
        own = curves[curves["density"] == density]
        axes.plot(own["epoch"], own["loss"], color=color(k), lw=1.0, alpha=0.85)
        if not own.empty:
            adapted[color(k)] = tuple(own.loc[own["adapted"], "epoch"])
    if len(set(adapted.values())) == 1:
        adapted = {GREY: next(iter(adapted.values()))}  # one row of ticks for all densities
    for row, (shade, epochs) in enumerate(adapted.items()):
        ends = 0.01 + 0.055 * row, 0.055 + 0.055 * row
        below = axes.get_xaxis_transform()
        axes.vlines(epochs, *ends, transform=below, color=shade, lw=1.2)
    axes.set_yscale("log")
    axes.margins(x=0.02)
    low, high = axes.get_ylim()
    low /= (high / low) ** (0.06 * len(adapted) + 0.02)  # room for the ticks
    axes.set_ylim(low, high)
    powers = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
    narrow = powers < 2  # at most one power of ten on the axis
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if narrow else (1.0,), numticks=5))
    if narrow:
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axes.grid(alpha=0.25, lw=0.5)
    tidy(axes, 7.5)


def _join(
    axes: Axes, medians: pd.DataFrame, tasks: Sequence[str], shifts: dict[str, float]
) -> None:
    """Joins the medians of each task by a line."""
    for place, task in enumerate(tasks):
        own = medians[(medians["task"] == task) & np.isfinite(medians["median"])]
        points = [
            (float(own.loc[own["density"] == density, "median"].iloc[0]), place + shift)
            for density, shift in shifts.items()
            if (own["density"] == density).any()
        ]
        axes.plot([x for x, _ in points], [y for _, y in points], color=GREY, lw=0.9, zorder=1)


def _dots(
    table: pd.DataFrame, density: str, column: str, tasks: Sequence[str], shift: float
) -> tuple[Array, Array]:
    """The values of a density in one column, and the vertical positions of its markers."""
    own = table[(table["density"] == density) & table["task"].isin(list(tasks))]
    heights = [tasks.index(task) + shift for task in own["task"]]
    return own[column].to_numpy(np.float64), np.array(heights, np.float64)
