"""Plots the motion of knots during a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from kanlit.adaptation.history import KnotRecord
from kanlit.plotting.histogram import as_array
from kanlit.plotting.page import HEADING_HEIGHT
from kanlit.plotting.style import BLUE, GREY, MARKED, head, mark_adaptations, plain, shortened, tidy

__all__ = ["migration_figure"]

COLUMNS = (2, 4)  # of the first layer and of the others
ROW_HEIGHTS = (2.6, 1.8)  # inches


def migration_figure(
    records: Sequence[KnotRecord],
    last: Mapping[str, Tensor],
    epoch: int,
    input_names: Sequence[str],
    title: str = "",
    max_features: int = 4,
) -> Figure:
    """Plots all breakpoints against the epoch.

    A breakpoint is a line from the adaptation that placed it to the next one. The lines are artists
    with the ``gid`` ``knots:LAYER:FEATURE``, where LAYER is the name of the layer.

    Args:
        records: Records from the first to the latest, at least one.
        last: Breakpoints ``(in, G+1)`` of each layer at the end.
        epoch: The last epoch.
        input_names: Name of each input of the first layer.
        title: Title of the figure.
        max_features: Number of features drawn of the first layer, and twice as many of each hidden
            layer; the headings count those left out.

    Raises:
        ValueError: If there are no records, the names do not fit the first layer, or
            ``max_features`` is below 1.
    """
    if not records:
        raise ValueError("no adaptation has been recorded")
    names = list(records[-1].breakpoints)
    counts = [len(records[-1].breakpoints[name]) for name in names]
    if len(input_names) != counts[0]:
        raise ValueError(f"{len(input_names)} input_names for {counts[0]} inputs")
    if max_features < 1:
        raise ValueError(f"max_features must be at least 1, got {max_features}")
    shown = [min(count, max_features * (1 + (n > 0))) for n, count in enumerate(counts)]
    rows = [math.ceil(count / COLUMNS[n > 0]) for n, count in enumerate(shown)]
    height = sum(HEADING_HEIGHT + ROW_HEIGHTS[n > 0] * count for n, count in enumerate(rows))
    handles = [
        Line2D([], [], color=BLUE, lw=1.1, label="breakpoints"),
        Line2D([], [], color=GREY, lw=0.7, ls=":", label=MARKED),
    ]
    page = head(height, title, handles)
    for number, name in enumerate(names):
        features = "1 input" if counts[number] == 1 else f"{counts[number]} inputs"
        if shown[number] < counts[number]:
            features = f"first {shown[number]} of {features}"
        seen = ", in the network's units" if number == 0 else ""
        page.heading(f"layer {number + 1}: {features}{seen}")
        columns = min(COLUMNS[number > 0], shown[number])
        panels = page.panels(shown[number], columns, ROW_HEIGHTS[number > 0], 0.5, gap=0.75)
        for feature, axes in enumerate(panels):
            _draw(axes, name, feature, records, last, max(epoch, records[-1].epoch))
            label = input_names[feature] if number == 0 else f"node {feature + 1}"
            axes.set_ylabel(plain(shortened(label, 24)), fontsize=9)
            axes.set_xlabel("epoch", fontsize=9)
    return page.figure


def _draw(
    axes: Axes,
    name: str,
    feature: int,
    records: Sequence[KnotRecord],
    last: Mapping[str, Tensor],
    epoch: int,
) -> None:
    epochs = [record.epoch for record in records] + [epoch]
    lines: list[list[tuple[float, float]]] = []
    for record, end in zip(records, epochs[1:], strict=True):
        standing = as_array(record.breakpoints[name][feature])
        lines += [[(record.epoch, at), (end, at)] for at in standing]
    if epoch > records[-1].epoch and name in last:
        # These may differ from the latest record: KeepBest restores the best weights.
        stub = epoch + 0.02 * (epoch - epochs[0])
        lines += [[(epoch, at), (stub, at)] for at in as_array(last[name][feature])]
    densest = max(record.breakpoints[name].shape[1] for record in records)
    width = min(1.1, 30 / densest)
    drawn = LineCollection(lines, colors=BLUE, linewidths=width, gid=f"knots:{name}:{feature}")
    axes.add_collection(drawn)
    axes.autoscale_view()
    axes.margins(x=0.01)
    mark_adaptations(axes, epochs[:-1], [record.grid_size for record in records])
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    tidy(axes, 8)
