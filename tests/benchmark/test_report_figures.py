"""What a report's figures show is where the numbers say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from kanlit.benchmark.comparison import median_table, pair_table, summaries
from kanlit.benchmark.comparison_figures import rank_figure, ratio_figure
from kanlit.benchmark.figures import convergence_figure, median_figure

DENSITIES = ["InputDensity", "Bent"]


def runs_of(densities: Sequence[str] = DENSITIES, tasks: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        [
            ("synthetic", f"f{t}", density, "sound", seed, rng.lognormal(-5.0, 1.0), 1.0, 0.1)
            for t in range(1, tasks + 1)
            for density in densities
            for seed in range(3)
        ],
        columns=[
            "benchmark",
            "task",
            "density",
            "recipe",
            "seed",
            "criterion",
            "wall_s",
            "adapt_s",
        ],
    ).assign(accuracy=np.nan, calibration_error=np.nan)


def only_axes(figure: Figure) -> Axes:
    (axes,) = figure.axes
    return axes


def dots(axes: Axes, marker: str, filled: bool = True) -> list[Line2D]:
    return [
        line
        for line in axes.lines
        if line.get_marker() == marker and (line.get_markerfacecolor() != "none") == filled
    ]


def inside(figure: Figure) -> bool:
    """Whether all that is drawn stands on the page."""
    figure.canvas.draw()
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches() + 1e-6
    return bool(min(drawn.x0, drawn.y0) >= -1e-6 and drawn.x1 <= width and drawn.y1 <= height)


def test_dots_stand_at_medians_runs_and_published_figures() -> None:
    runs = runs_of()
    medians = median_table(runs, DENSITIES)
    published = pd.DataFrame({"task": ["f2"], "density": ["Bent"], "paper": [0.02]})

    figure = median_figure(runs, medians, DENSITIES, "relative L2 error", "errors", published)

    axes = only_axes(figure)
    for density, marker in zip(DENSITIES, ("o", "s"), strict=True):
        shown = np.concatenate([line.get_xdata() for line in dots(axes, marker)])
        expected = medians.loc[medians["density"] == density, "median"]
        assert shown.tolist() == expected.tolist()
    singles = np.concatenate([line.get_xdata() for line in dots(axes, ".")])
    assert sorted(singles) == sorted(runs["criterion"])
    (hollow,) = [line for line in dots(axes, "s", filled=False) if len(line.get_xdata())]
    assert hollow.get_xdata().tolist() == [0.02]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["f1", "f2", "f3", "f4"]
    assert round(float(hollow.get_ydata()[0])) == rows.index("f2")
    low, high = axes.get_xlim()
    assert low < min(singles)
    assert high > max(singles)
    assert inside(figure)


def test_long_names_find_room() -> None:
    names = [f"a_density_of_my_own_number_{i}" for i in range(6)]
    runs = runs_of(names)

    assert inside(median_figure(runs, median_table(runs, names), names, "error", "errors"))
    assert inside(rank_figure({name: 1.0 + i for i, name in enumerate(names)}, 2, 9, 0.1, "ranks"))


def test_failed_runs_stand_at_the_edge_and_failed_medians_nowhere() -> None:
    runs = runs_of()
    bent = runs["density"] == "Bent"
    runs.loc[bent & (runs["task"] == "f3"), "criterion"] = np.inf

    figure = median_figure(runs, median_table(runs, DENSITIES), DENSITIES, "error", "errors")

    axes = only_axes(figure)
    crosses = np.concatenate([line.get_xdata() for line in dots(axes, "x")])
    assert len(crosses) == 3
    assert (crosses > runs.loc[np.isfinite(runs["criterion"]), "criterion"].max()).all()
    assert (crosses < axes.get_xlim()[1]).all()
    figure.canvas.draw()  # infinite medians do no harm


def test_curves_are_the_losses_with_a_tick_at_each_adaptation() -> None:
    epoch = np.arange(0.0, 100.0, 10.0)
    curves = pd.concat(
        pd.DataFrame(
            {
                "task": task,
                "density": density,
                "epoch": epoch,
                "loss": np.exp(-epoch / (10 + k)),
                "adapted": np.isin(epoch, [0.0, 10.0 * (k + 2) if task == "f2" else 50.0]),
            }
        )
        for task in ("f1", "f2")
        for k, density in enumerate(DENSITIES)
    )

    figure = convergence_figure(curves, ["f1", "f2"], DENSITIES, "loss")

    for axes, ticks in zip(figure.axes, ([{0.0, 50.0}], [{0.0, 20.0}, {0.0, 30.0}]), strict=True):
        own = curves[curves["task"] == axes.get_title()]
        for line, density in zip(axes.lines, DENSITIES, strict=True):
            loss = own.loc[own["density"] == density, "loss"]
            assert line.get_xydata()[:, 1].tolist() == loss.tolist()
        found = [c for c in axes.collections if isinstance(c, LineCollection)]
        assert [{seg[0, 0] for seg in c.get_segments()} for c in found] == ticks
    assert inside(figure)


@pytest.mark.parametrize("tasks", [1, 4, 10, 15])
def test_convergence_has_a_panel_a_task(tasks: int) -> None:
    names = [f"f{i}" for i in range(tasks)]
    curves = pd.DataFrame(
        [(task, "Bent", e, 1.0 / (1 + e), False) for task in names for e in (0, 100)],
        columns=["task", "density", "epoch", "loss", "adapted"],
    )

    figure = convergence_figure(curves, names, ["Bent"], "loss")

    assert [axes.get_title() for axes in figure.axes] == names
    assert inside(figure)


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_bars_are_ratios_with_their_intervals() -> None:
    runs = runs_of()
    pair = pair_table(runs, *DENSITIES)
    found = summaries(runs, DENSITIES[0], DENSITIES[1:])

    figure = ratio_figure(pair, found, DENSITIES[0], "ratios")

    axes = only_axes(figure)
    ratios = [*(1 - pair["reduction"]), found[0].comparison.ratio]
    ends = [b.get_x() if b.get_x() < 1 else b.get_x() + b.get_width() for b in bars(axes)]
    assert ends == pytest.approx(ratios)
    lines = [c for c in axes.collections if isinstance(c, LineCollection)]
    whiskers = [line.get_segments()[0][:, 0] for line in lines]
    assert whiskers[0] == pytest.approx(1 - pair.loc[0, ["reduction_high", "reduction_low"]])
    interval = found[0].comparison.ratio_tasks
    assert whiskers[-1] == pytest.approx([interval.low, interval.high])
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [*(f"synthetic f{i}" for i in range(1, 5)), "synthetic, mean"]
    assert inside(figure)


@pytest.mark.parametrize("scale", [1.01, 1.5, 50.0, 1e6])
def test_axis_of_ratios_has_round_marks_whatever_its_reach(scale: float) -> None:
    runs = runs_of(tasks=2)
    runs["criterion"] = np.where(runs["density"] == "Bent", scale, 1.0)
    runs.loc[runs["task"] == "f2", "criterion"] = 1.0

    figure = ratio_figure(
        pair_table(runs, *DENSITIES), summaries(runs, DENSITIES[0], DENSITIES[1:]), "A", "ratios"
    )

    axes = only_axes(figure)
    low, high = axes.get_xlim()
    assert low * high == pytest.approx(1.0)
    ticks = axes.get_xticks()
    assert 3 <= len(ticks) <= 13
    assert 1.0 in ticks
    assert ((ticks >= low) & (ticks <= high)).all()
    assert inside(figure)


def test_bar_of_a_task_that_failed_ends_at_the_edge() -> None:
    runs = runs_of()
    runs.loc[(runs["task"] == "f1") & (runs["density"] == "Bent"), "criterion"] = np.inf

    pair = pair_table(runs, *DENSITIES)
    axes = only_axes(
        ratio_figure(pair, summaries(runs, DENSITIES[0], DENSITIES[1:]), "A", "ratios")
    )

    bar, *_ = bars(axes)
    assert bar.get_x() + bar.get_width() == pytest.approx(axes.get_xlim()[1])


def test_ranks_stand_in_order_and_bars_join_what_is_not_told_apart() -> None:
    ranks = {"c": 3.6, "a": 1.2, "b": 1.9, "d": 3.3}

    figure = rank_figure(ranks, 0.8, 20, 0.01, "ranks")

    axes = only_axes(figure)
    stand = {
        text.get_text().replace(f"{ranks[name]:.2f}", "").strip(): name
        for text in axes.texts
        for name in ranks
        if f"{ranks[name]:.2f}" in text.get_text()
    }
    assert set(stand) == set(ranks)
    at = [float(line.get_xdata()[0]) for line in dots(axes, "o")]
    unit = np.diff(at) / np.diff(sorted(ranks.values()))
    assert unit == pytest.approx([unit[0]] * 3)
    joined = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 3.2]
    assert len(joined) == 2  # a with b, d with c
    for ends, (first, last) in zip(joined, ((0, 1), (2, 3)), strict=True):
        assert ends[0] < at[first] < at[last] < ends[1]
    assert inside(figure)


@pytest.mark.parametrize("count", [3, 4, 8])
def test_ranks_of_many_and_of_few_stand_on_the_page(count: int) -> None:
    ranks = {f"DensityNumber{i}": 1.0 + i for i in range(count)}

    figure = rank_figure(ranks, 9.5, 4, 0.5, "ranks")

    assert inside(figure)
    assert any("off the axis" in text.get_text() for text in only_axes(figure).texts)
