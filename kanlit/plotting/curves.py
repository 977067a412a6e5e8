"""Plots the functions on the edges of a network, per input feature, with the knots."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from kanlit.nn import KANLayer
from kanlit.plotting.edges import by_importance, edge_curves, opacities
from kanlit.plotting.histogram import Array, as_array
from kanlit.plotting.page import HEADING_HEIGHT
from kanlit.plotting.style import BLUE, VERMILLION, head, plain, rug, shortened, tidy

__all__ = ["curve_figure"]

COLUMNS = (3, 5)  # for the first layer and for the others
ROW_HEIGHTS = (1.9, 1.5)  # inches
MOST_CURVES = 64  # per feature; more could not be distinguished


def curve_figure(
    layers: Sequence[KANLayer],
    importances: Sequence[Tensor],
    input_names: Sequence[str],
    title: str = "",
    units: Callable[[Tensor], Tensor] | None = None,
    max_features: int = 6,
) -> Figure:
    """Plots the edge functions of each feature over its grid.

    One panel per input feature of each layer shows all its φ_qp(x_p), minus their means over the
    grid, because constants only add to the sum of the next node. Opacity shows the importance of
    the edge. Ticks mark the breakpoints. The curves are artists with the ``gid``
    ``curve:LAYER:OUT:IN``.

    Args:
        layers: Successive layers; the outputs of each are the inputs of the next.
        importances: ``(out, in)`` of each layer, see :func:`kanlit.nn.edge_importance`.
        input_names: Name of each input.
        title: Title of the figure.
        units: Maps inputs of the network ``(n, in)`` to the user's units; None if none are known.
        max_features: Number of features drawn of the first layer, the most important first, and
            twice as many of each hidden layer; the headings count those left out.

    Raises:
        ValueError: If the names do not fit the first layer, or ``max_features`` is below 1.
    """
    if len(input_names) != layers[0].in_features:
        raise ValueError(f"{len(input_names)} input_names for {layers[0].in_features} inputs")
    if max_features < 1:
        raise ValueError(f"max_features must be at least 1, got {max_features}")
    shown = [
        min(layer.in_features, max_features * (1 + (number > 0)))
        for number, layer in enumerate(layers)
    ]
    rows = [math.ceil(count / COLUMNS[n > 0]) for n, count in enumerate(shown)]
    height = sum(HEADING_HEIGHT + ROW_HEIGHTS[n > 0] * count for n, count in enumerate(rows))
    handles = [
        Line2D([], [], color=VERMILLION, lw=1.4, label="edges, less their means"),
        Line2D([], [], color=BLUE, lw=0, marker="|", ms=9, label="breakpoints"),
    ]
    page = head(height, title, handles)
    for number, layer in enumerate(layers):
        x, values = edge_curves(layer, 201)
        opacity = opacities(importances[number])
        order = by_importance(importances[number])[: shown[number]]
        breakpoints = layer.breakpoints
        if number == 0 and units is not None:
            x, breakpoints = as_array(units(torch.from_numpy(x))), units(breakpoints.T).T
        page.heading(_heading(number, layer, shown[number], units is not None))
        columns = min(COLUMNS[number > 0], math.ceil(shown[number] / rows[number]))
        panels = page.panels(shown[number], columns, ROW_HEIGHTS[number > 0], below=0.5)
        for i, (p, axes) in enumerate(zip(order, panels, strict=True)):
            _draw(axes, number, p, x[:, p], values[:, p], opacity[:, p])
            rug(axes, as_array(breakpoints[p]))
            name = plain(shortened(input_names[p], 32)) if number == 0 else f"node {p + 1}"
            axes.set_xlabel(name, fontsize=9)
            if i % columns == 0:
                axes.set_ylabel("φ − mean", fontsize=9)
    return page.figure


def _draw(axes: Axes, layer: int, p: int, x: Array, values: Array, opacity: Array) -> None:
    """Draws the curves ``(points, out)`` of a feature, or its most important ones."""
    for q in opacity.argsort(kind="stable")[-MOST_CURVES:]:
        y = values[:, q] - values[:, q].mean()
        axes.plot(
            x, y, color=VERMILLION, lw=1.3, alpha=float(opacity[q]), gid=f"curve:{layer}:{q}:{p}"
        )
    axes.margins(y=0.15)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    axes.ticklabel_format(axis="y", scilimits=(-2, 3))
    axes.yaxis.get_offset_text().set_fontsize(7)
    tidy(axes, 8)


def _heading(number: int, layer: KANLayer, shown: int, in_units: bool) -> str:
    features = "1 input" if layer.in_features == 1 else f"{layer.in_features} inputs"
    if shown < layer.in_features:
        features = f"the {shown} most important of {features}"
    outputs = "1 edge" if layer.out_features == 1 else f"{layer.out_features} edges"
    if layer.out_features > MOST_CURVES:
        outputs = f"the {MOST_CURVES} most important of {outputs}"
    seen = " in the network's units" if number == 0 and not in_units else ""
    return f"layer {number + 1}: {features}{seen}, each with {outputs}; G = {layer.grid_size}"
