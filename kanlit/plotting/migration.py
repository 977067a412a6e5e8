"""Plots the motion of knots during a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from kanlit.adaptation.history import KnotRecord
from kanlit.plotting.edges import by_importance
from kanlit.plotting.histogram import as_array
from kanlit.plotting.page import HEADING_HEIGHT
from kanlit.plotting.style import (
    BLUE,
    GREY,
    MARKED,
    VERMILLION,
    head,
    mark_adaptations,
    plain,
    shortened,
    tidy,
)

__all__ = ["migration_figure"]

COLUMNS = (2, 4)  # of the first layer and of the others
ROW_HEIGHTS = (2.6, 1.8)  # inches


def migration_figure(
    records: Sequence[KnotRecord],
    last: Mapping[str, Tensor],
    epoch: int,
    input_names: Sequence[str],
    title: str = "",
    importances: Sequence[Tensor] | None = None,
    units: Callable[[Tensor], Tensor] | None = None,
    max_features: int = 4,
) -> Figure:
    """Plots all breakpoints against the epoch.

    A breakpoint is a line from the adaptation that placed it to the next one; those of the network
    at the end are marks. The lines are artists with the ``gid`` ``knots:LAYER:FEATURE``, where
    LAYER is the name of the layer, and the marks with ``end:LAYER:FEATURE``.

    Args:
        records: Records from the first to the latest, at least one.
        last: Breakpoints ``(in, G+1)`` of each layer at the end.
        epoch: The last epoch.
        input_names: Name of each input of the first layer.
        title: Title of the figure.
        importances: ``(out, in)`` of each layer at the end; the most important features come first.
        units: Maps inputs of the network ``(n, in)`` to the user's units; None if none are known.
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
        Line2D([], [], color=VERMILLION, ls="", marker="_", ms=7, label="of the kept weights"),
        Line2D([], [], color=GREY, lw=0.7, ls=":", label=MARKED),
    ]
    page = head(height, title, handles)
    for number, name in enumerate(names):
        features = "1 input" if counts[number] == 1 else f"{counts[number]} inputs"
        # Pruning since the last adaptation has renumbered the features.
        same = len(last.get(name, ())) == counts[number]
        ranking = by_importance(importances[number]) if importances is not None and same else None
        if shown[number] < counts[number]:
            which = "first" if ranking is None else "most important"
            features = f"the {shown[number]} {which} of {features}"
        seen = ", in the network's units" if number == 0 and units is None else ""
        page.heading(f"layer {number + 1}: {features}{seen}")
        columns = min(COLUMNS[number > 0], shown[number])
        panels = page.panels(shown[number], columns, ROW_HEIGHTS[number > 0], 0.5, gap=0.75)
        own = units if number == 0 and units is not None else _same
        stages = [own(record.breakpoints[name].T).T for record in records]
        for feature, axes in zip(ranking or range(counts[number]), panels, strict=False):
            final = own(last[name].T).T[feature] if same else None
            epochs = [record.epoch for record in records]
            _draw(axes, [stage[feature] for stage in stages], [*epochs, max(epoch, epochs[-1])])
            axes.collections[0].set_gid(f"knots:{name}:{feature}")
            if final is not None and epoch > epochs[-1]:
                # They may differ from the latest record: KeepBest restores the best weights.
                (ends,) = axes.plot(
                    [epoch] * len(final), as_array(final), gid=f"end:{name}:{feature}"
                )
                ends.set(ls="", marker="_", ms=5, color=VERMILLION, clip_on=False)
            mark_adaptations(axes, epochs, [record.grid_size for record in records])
            label = input_names[feature] if number == 0 else f"node {feature + 1}"
            axes.set_ylabel(plain(shortened(label, 24)), fontsize=9)
            axes.set_xlabel("epoch", fontsize=9)
    return page.figure


def _same(points: Tensor) -> Tensor:
    return points


def _draw(axes: Axes, stages: Sequence[Tensor], epochs: Sequence[int]) -> None:
    """Draws breakpoints ``(G+1,)`` as lines from the epoch of their adaptation to the next."""
    lines: list[list[tuple[float, float]]] = []
    for standing, (start, end) in zip(stages, pairwise(epochs), strict=True):
        lines += [[(start, at), (end, at)] for at in as_array(standing)]
    width = min(1.1, 30 / max(map(len, stages)))
    axes.add_collection(LineCollection(lines, colors=BLUE, linewidths=width))
    axes.autoscale_view()
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    tidy(axes, 8)
