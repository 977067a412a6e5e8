"""Figures that summarize a benchmark: mean ranks, and errors relative to the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from kanlit.benchmark.comparison import Summary, of_suite
from kanlit.benchmark.ranks import equal_groups
from kanlit.benchmark.statistics import Interval
from kanlit.plotting.page import RIGHT, WIDTH
from kanlit.plotting.style import FONT, GREY, LETTER, color, head, tidy

__all__ = ["rank_figure", "ratio_figure"]

_NAMES = 0.6  # inches of extra width for the labels of the bars
_LARGEST_RATIO = 1e4
# Ticks for axes up to a largest ratio; the first set that covers the axis is used.
_TICKS: tuple[tuple[float, tuple[float, ...]], ...] = (
    (1.3, (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.25)),
    (12.0, (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)),
    (110.0, (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)),
    (math.inf, (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3)),
)


@dataclass(frozen=True)
class _Bar:
    """A bar of the ratio figure."""

    label: str
    ratio: float
    ends: Interval
    y: float
    is_mean: bool


def rank_figure(
    ranks: Mapping[str, float], distance: float, tasks: int, p_value: float, title: str
) -> Figure:
    """Critical-difference diagram: mean ranks (1 is best) and Nemenyi's critical distance.

    Bars join densities whose ranks differ by less than this distance: the test finds no
    significant difference between them.

    Args:
        ranks: Mean rank of each density.
        distance: Nemenyi's critical distance.
        tasks: Number of tasks.
        p_value: P-value of Friedman's test.
        title: Title of the figure.
    """
    names = sorted(ranks, key=ranks.__getitem__)
    values = [ranks[name] for name in names]
    count, groups = len(names), equal_groups(values, distance)
    left_side = (count + 1) // 2
    step, band = 0.26, 0.16 * (len(groups) + 1)
    page = head(0.9 + band + step * left_side, title)
    height = page.figure.get_figheight()
    label = min(0.8 + LETTER * max(map(len, names)), 0.4 * WIDTH)  # space for names on each side
    axes = page.figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)

    def at(rank: float) -> float:
        return label + (rank - 1.0) / (count - 1.0) * (WIDTH - 2 * label)

    y = 1.25  # inches from the top, here and below
    axes.plot([at(1), at(count)], [y, y], color="black", lw=1.2)
    for rank in range(1, count + 1):
        axes.plot([at(rank)] * 2, [y - 0.07, y], color="black", lw=1.2)
        axes.text(at(rank), y - 0.1, f"{rank}", ha="center", va="bottom", fontsize=FONT)
    shown = min(distance, count - 1.0)
    over = 0.75
    axes.plot([at(1), at(1 + shown)], [over, over], color="black", lw=1.6)
    for end in (1.0, 1.0 + shown):
        axes.plot([at(end)] * 2, [over - 0.05, over + 0.05], color="black", lw=1.6)
    words = f"critical distance {distance:.2f}" + (" (off the axis)" if shown < distance else "")
    axes.text(at(1), over - 0.09, words, ha="left", va="bottom", fontsize=FONT)
    note = f"mean rank over {tasks} tasks, 1 is best; Friedman p = {p_value:.2g}"
    axes.text(WIDTH - RIGHT, over - 0.09, note, ha="right", va="bottom", fontsize=FONT)
    for i, (first, last) in enumerate(groups):
        line = y + 0.16 * (i + 1)
        ends = [at(values[first]) - 0.05, at(values[last]) + 0.05]
        axes.plot(ends, [line, line], color="black", lw=3.2, solid_capstyle="butt")
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        on_left = i < left_side
        row = i if on_left else count - 1 - i
        line = y + band + step * (row + 0.6)
        side = label - 0.1 if on_left else WIDTH - label + 0.1
        axes.plot([at(value), at(value), side], [y, line, line], color=GREY, lw=0.9)
        axes.plot([at(value)], [y], color="black", marker="o", ms=4)
        axes.text(
            side - 0.06 if on_left else side + 0.06,
            line,
            f"{name}  {value:.2f}" if on_left else f"{value:.2f}  {name}",
            ha="right" if on_left else "left",
            va="center",
            fontsize=FONT,
        )
    return page.figure


def ratio_figure(pair: pd.DataFrame, found: Sequence[Summary], baseline: str, title: str) -> Figure:
    """Bars of the error relative to the baseline, per task and as a mean per suite.

    The axis is logarithmic: half and twice the error are equally far from 1. The upper axis shows
    the relative error reduction. The color of a bar shows which density is better. Whiskers are
    intervals: seeds are resampled for a task, seeds and tasks for the geometric mean of a suite.

    Args:
        pair: Result of ``pair_table``.
        found: Summaries of the same density.
        baseline: Name of the baseline.
        title: Title of the figure.
    """
    bars: list[_Bar] = []
    y = 0.0
    for summary in found:
        for row in of_suite(summary.suite, pair).to_dict("records"):
            ends = Interval(1.0 - row["reduction_high"], 1.0 - row["reduction_low"])
            ratio = 1.0 - row["reduction"]
            bars.append(_Bar(f"{row['benchmark']} {row['task']}", ratio, ends, y, False))
            y += 1.0
        comparison, label = summary.comparison, f"{summary.suite}, mean"
        bars.append(_Bar(label, comparison.ratio, comparison.ratio_tasks, y, True))
        y += 1.6
    height = 1.05 + 0.2 * y
    page = head(height, title)
    page.skip(0.35)
    (axes,) = page.row(1, height - 0.35, below=0.48)
    box, extra = axes.get_position(), _NAMES / WIDTH
    axes.set_position((box.x0 + extra, box.y0, box.width - extra, box.height))
    most = _reach(bars)
    axes.set_xscale("log")
    for bar in bars:
        # Values outside the axis, also infinite ones, are clipped to it.
        end, low, high = np.clip([bar.ratio, bar.ends.low, bar.ends.high], 1 / most, most)
        axes.barh(
            bar.y,
            end - 1.0,
            left=1.0,
            height=0.8 if bar.is_mean else 0.6,
            color=color(0 if end > 1 else 1),
            alpha=1.0 if bar.is_mean else 0.6,
        )
        axes.hlines(bar.y, low, high, color="black", lw=1.6 if bar.is_mean else 0.9)
    axes.axvline(1.0, color="black", lw=0.8)
    axes.set_xlim(1 / most, most)
    axes.set_ylim(bars[-1].y + 0.6, -0.6)
    axes.set_yticks([bar.y for bar in bars], [bar.label for bar in bars])
    for tick, bar in zip(axes.get_yticklabels(), bars, strict=True):
        tick.set_fontweight("bold" if bar.is_mean else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(
        f"← {found[0].density} better     error relative to the baseline     {baseline} better →",
        fontsize=FONT,
        labelpad=1,
    )
    _mark_ratios(axes, most)
    tidy(axes, 8)
    return page.figure


def _mark_ratios(axes: Axes, most: float) -> None:
    """Labels the lower axis with ratios and the upper one with the same values as reductions."""
    above = axes.secondary_xaxis("top")
    above.set_xlabel("relative error reduction", fontsize=FONT, labelpad=4)
    above.spines["top"].set_visible(False)
    above.tick_params(labelsize=8)
    round_ratios = next(ratios for limit, ratios in _TICKS if most < limit)
    ticks = [ratio for ratio in round_ratios if 1 / most <= ratio <= most]
    for side, words in (
        (axes.xaxis, [f"{tick:g}" for tick in ticks]),
        (above.xaxis, [f"{100 * (1 - tick):.5g} %" for tick in ticks]),
    ):
        side.set_major_locator(FixedLocator(ticks))
        side.set_major_formatter(FixedFormatter(words))
        side.set_minor_locator(NullLocator())
    axes.grid(axis="x", alpha=0.25, lw=0.5)
    axes.set_axisbelow(True)


def _reach(bars: Sequence[_Bar]) -> float:
    """Largest ratio of the axis, which is symmetric around 1."""
    ratios = [ratio for bar in bars for ratio in (bar.ratio, bar.ends.low, bar.ends.high)]
    far = [abs(math.log(ratio)) for ratio in ratios if 0 < ratio < math.inf]
    return math.exp(min(1.05 * max(far, default=0.0) + 0.05, math.log(_LARGEST_RATIO)))
