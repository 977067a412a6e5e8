"""Plots losses and errors of a run against the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kanlit.plotting.histogram import Array
from kanlit.plotting.style import GREY, MARKED, color, head, mark_adaptations, marker, plain, tidy

__all__ = ["convergence_figure"]

HEIGHT = 3.0  # inches
MOST_MARKERS = 30
_NARROW = 3  # largest value over smallest, below which a logarithmic scale has no round ticks
RESIDUAL = "mean squared residual"
LOSS, ERROR, ACCURACY = _KINDS = ("loss", "error", "accuracy")  # each on its own axes


def convergence_figure(
    curves: Mapping[str, tuple[Array, Array]],
    adaptations: Sequence[tuple[float, int]] = (),
    title: str = "",
    unit: str = "epoch",
) -> Figure:
    """Plots losses, errors and accuracies against the epoch, each on their own axes.

    Losses and errors have a logarithmic scale, unless they change by less than a factor of 3.
    Values that are not positive or not finite are left out. Adaptations are dotted lines labeled
    with their G. The curves are artists with the ``gid`` ``metric:NAME``.

    Args:
        curves: Epochs ``(n,)`` and values ``(n,)`` of each metric.
        adaptations: Epoch and G of each adaptation.
        title: Title of the figure.
        unit: Label of the horizontal axis.

    Raises:
        ValueError: If no metric has a positive value.
    """
    drawn = {}
    for name, (epochs, values) in curves.items():
        kept = np.isfinite(values) & (values > 0)
        if kept.any():
            drawn[name] = epochs[kept], values[kept]
    if not drawn:
        raise ValueError("no metric has a positive value")
    style: dict[str, dict[str, Any]] = {
        name: {"color": color(i), "marker": marker(i)} for i, name in enumerate(drawn)
    }
    handles = [Line2D([], [], label=plain(name), ms=4, lw=1.4, **style[name]) for name in drawn]
    if adaptations:
        handles.append(Line2D([], [], color=GREY, lw=0.7, ls=":", label=MARKED))
    groups = {kind: [name for name in drawn if _kind(name) == kind] for kind in _KINDS}
    groups = {kind: names for kind, names in groups.items() if names}
    page = head(HEIGHT * len(groups), title, handles)
    places = np.concatenate([[epoch for epoch, _ in adaptations], *(x for x, _ in drawn.values())])
    first, last = places.min(), places.max()
    for kind, names in groups.items():
        (axes,) = page.row(1, HEIGHT, below=0.55)
        values = np.concatenate([drawn[name][1] for name in names])
        if kind != ACCURACY and values.max() > _NARROW * values.min():
            axes.set_yscale("log")
        for name in names:
            epochs, values = drawn[name]
            every = max(1, len(epochs) // MOST_MARKERS)
            axes.plot(
                epochs, values, lw=1.4, ms=4, markevery=every, gid=f"metric:{name}", **style[name]
            )
        axes.set_xlim(first - 0.03 * (last - first or 1), last + 0.03 * (last - first or 1))
        if adaptations:
            mark_adaptations(axes, *map(list, zip(*adaptations, strict=True)))
        axes.set_xlabel(unit, fontsize=9)
        axes.set_ylabel(RESIDUAL if "val/pde" in names else kind, fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(alpha=0.25, lw=0.5)
        tidy(axes, 8)
        axes.tick_params(which="minor", labelsize=6.5)
        if axes.get_yscale() == "linear":
            axes.ticklabel_format(axis="y", useOffset=False, scilimits=(-2, 3))
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.yaxis.get_offset_text().set_fontsize(7.5)
    return page.figure


def _kind(name: str) -> str:
    """What a metric is drawn with: losses, accuracies, or errors and residuals."""
    last = name.rpartition("/")[2]
    return LOSS if last.endswith("loss") else ACCURACY if last == "accuracy" else ERROR
