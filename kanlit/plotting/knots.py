"""Plots a grid adaptation: old and new knots, and the importance density of the samples.

Built from ``matplotlib.figure.Figure``, because pyplot keeps every figure in memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, StepPatch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D, Transform
from torch import Tensor

from kanlit.adaptation.report import AdaptationReport, LayerAdaptation
from kanlit.plotting.histogram import Array, as_array, importance_histogram
from kanlit.plotting.page import HEADING_HEIGHT, Page
from kanlit.plotting.style import BLACK, BLUE, ORANGE, SKY_BLUE, VERMILLION, head, plain, rug, tidy
from kanlit.scaling import default_names

__all__ = ["TargetCurve", "knot_figure"]

CURVE_HEIGHT, FIRST_ROW_HEIGHT, HIDDEN_ROW_HEIGHT = 2.9, 1.75, 1.15  # inches
FIRST_BINS, HIDDEN_BINS = 80, 40
LOWEST, HIGHEST = -0.52, 1.12  # of a panel, in peaks of its density
MOST_MARKERS = 40  # stems beyond this many stand so close that markers would hide them


@dataclass(frozen=True)
class TargetCurve:
    """Target and prediction along one input of the first layer.

    Attributes:
        x: ``(m,)``, increasing values of that input, in the units of the first layer.
        prediction: ``(m,)``, the output of the network.
        target: ``(m,)``, the target function; ``None`` if unknown.
        label: Label of the horizontal axis, such as ``"x1 (x2 held at 0.7)"``.
        feature: Index of the input of the first layer.
        quantity: Label of the vertical axis.
    """

    x: Tensor
    prediction: Tensor
    target: Tensor | None
    label: str
    feature: int = 0
    quantity: str = "output"


def knot_figure(
    report: AdaptationReport,
    curve: TargetCurve | None,
    title: str = "",
    max_features: int = 6,
    feature_names: Sequence[str] | None = None,
) -> Figure:
    """Plots one adaptation.

    The top panel shows ``curve`` and, as ticks, the new breakpoints of its input. The others show,
    for each input feature of each layer, the importance density of the samples (area), the new
    breakpoints (stems upward) and the old ones (stems downward). The stems are artists with
    the ``gid`` ``new:LAYER:FEATURE`` and ``old:LAYER:FEATURE``, the areas
    ``density:LAYER:FEATURE``.

    Args:
        report: The adaptation.
        curve: Target and prediction; ``None`` omits the top panel.
        title: Title before ``G old → new``, such as ``"epoch 500"``.
        max_features: Number of features drawn of the first layer, and twice as many of each hidden
            layer, in smaller panels; the heading counts those left out.
        feature_names: Names of the first layer's inputs; ``x1, x2, …`` if omitted.

    Raises:
        ValueError: If ``max_features < 1``, the number of names is wrong, or samples or weights
            are not finite.
    """
    first, hidden = report.layers[0], report.layers[1:]
    in_features = first.new_breakpoints.shape[0]
    if max_features < 1:
        raise ValueError(f"max_features must be at least 1, got {max_features}")
    feature_names = feature_names or default_names(in_features, 1)[0]
    if len(feature_names) != in_features:
        raise ValueError(f"{len(feature_names)} feature_names for {in_features} input features")

    shown = [_shown(first, max_features), *(_shown(layer, 2 * max_features) for layer in hidden)]
    shapes = [_rows_and_columns(shown[0], widest=3)]
    shapes += [_rows_and_columns(count, widest=6) for count in shown[1:]]
    height = CURVE_HEIGHT if curve is not None else 0.0
    height += HEADING_HEIGHT * len(shapes) + FIRST_ROW_HEIGHT * shapes[0][0]
    height += HIDDEN_ROW_HEIGHT * sum(rows for rows, _ in shapes[1:])
    page = head(height, _title(title, first, report.grid_size), _legend(curve))
    if curve is not None:
        (axes,) = page.row(1, CURVE_HEIGHT, below=0.5)
        _draw_curve(axes, curve, as_array(first.new_breakpoints[curve.feature]))
        axes.set_xlim(*_padded(_span(first, curve.feature)))
    _draw_first(page, first, feature_names, shapes[0], shown[0])
    for layer, shape, count in zip(hidden, shapes[1:], shown[1:], strict=True):
        _draw_hidden(page, layer, shape, count)
    return page.figure


def _draw_first(
    page: Page,
    layer: LayerAdaptation,
    names: Sequence[str],
    shape: tuple[int, int],
    shown: int,
) -> None:
    _, columns = shape
    page.heading(_heading(layer, shown))
    for i, axes in enumerate(page.panels(shown, columns, FIRST_ROW_HEIGHT, below=0.5)):
        _draw_feature(axes, layer, i)
        axes.set_xlabel(plain(names[i]), fontsize=9)
        if i % columns == 0:
            axes.set_ylabel("density", fontsize=9)


def _draw_hidden(page: Page, layer: LayerAdaptation, shape: tuple[int, int], shown: int) -> None:
    """Draws all features of a hidden layer, one cell per feature, without separate axes.

    Separate axes would take ten times as long. Each cell is a transform from data coordinates, and
    elements that all cells share are one artist.
    """
    rows, columns = shape
    page.heading(_heading(layer, shown))
    band = page.band(columns, rows, rows * HIDDEN_ROW_HEIGHT)
    lines: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for i in range(shown):
        row, column = divmod(i, columns)
        density, span = _density(layer, i, HIDDEN_BINS), _span(layer, i)
        left, right, top, height = column + 0.02, column + 0.9, row + 0.05, 0.7
        low, high = _padded(span)
        cell = (
            Affine2D()
            .scale(1.0, 1.0 / _peak(density[0]))
            .translate(-low, -HIGHEST)
            .scale((right - left) / (high - low), -height / (HIGHEST - LOWEST))
            .translate(left, top)
        )
        _draw_knots(page.figure, layer, i, density, 2.0, cell + band)
        zero = top + height * HIGHEST / (HIGHEST - LOWEST)
        lines.append(((left, zero), (right, zero)))
        page.figure.text(
            (left + right) / 2,
            row + 0.79,
            f"input {i + 1}: {span[0]:.2g} to {span[1]:.2g}",
            transform=band,
            fontsize=7.5,
            ha="center",
            va="top",
        )
    page.figure.add_artist(LineCollection(lines, colors=BLACK, linewidths=0.7, transform=band))


def _heading(layer: LayerAdaptation, shown: int) -> str:
    count = layer.new_breakpoints.shape[0]
    features = "1 input feature" if count == 1 else f"{count} input features"
    if shown < count:
        features = f"first {shown} of {features}, +{count - shown} more"
    return (
        f"{layer.name}: {features}; refit error {layer.refit_error:.1e}; "
        f"{100 * layer.out_of_range:.1f} % of inputs were outside the old grid"
    )


def _draw_curve(axes: Axes, curve: TargetCurve, breakpoints: Array) -> None:
    x = as_array(curve.x)
    if curve.target is not None:
        axes.plot(x, as_array(curve.target), color=BLACK, lw=2.6, alpha=0.45, gid="target")
    axes.plot(x, as_array(curve.prediction), color=VERMILLION, lw=1.4, gid="prediction")
    rug(axes, breakpoints)
    axes.margins(y=0.12)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(plain(curve.label), fontsize=9)
    axes.set_ylabel(curve.quantity, fontsize=9)
    axes.grid(alpha=0.25, lw=0.5)
    _tidy(axes)


def _draw_feature(axes: Axes, layer: LayerAdaptation, feature: int) -> None:
    """Draws one feature of the first layer in its own panel."""
    density = _density(layer, feature, FIRST_BINS)
    _draw_knots(axes, layer, feature, density, 3.5, axes.transData)
    peak = _peak(density[0])
    axes.axhline(0.0, color=BLACK, lw=0.7)
    axes.set_xlim(*_padded(_span(layer, feature)))
    axes.set_ylim(LOWEST * peak, HIGHEST * peak)
    axes.set_yticks([0.0, peak], ["0", f"{peak:.2g}"])
    _tidy(axes)


def _density(layer: LayerAdaptation, feature: int, most_bins: int) -> tuple[Array, Array]:
    """Importance density of one feature, with fewer bins if there are few samples."""
    weights = layer.weights if layer.weights.ndim == 1 else layer.weights[:, feature]
    samples = layer.samples[:, feature]
    bins = min(most_bins, max(20, round(2 * math.sqrt(len(samples)))))
    return importance_histogram(samples, weights, bins, _span(layer, feature))


def _draw_knots(
    parent: Axes | Figure,
    layer: LayerAdaptation,
    feature: int,
    density: tuple[Array, Array],
    marker_size: float,
    transform: Transform,
) -> None:
    """Draws the density, new stems upward and old ones downward, relative to the peak density."""
    values, edges = density
    label = f"{layer.name}:{feature}"
    shape = StepPatch(values, edges, fill=True, color=SKY_BLUE, alpha=0.45, lw=0)
    shape.set(gid=f"density:{label}", transform=transform)
    parent.add_artist(shape)  # add_patch would compute limits that are set anyway
    peak = _peak(values)
    if values.max() == 0:
        words, middle = "all weights are zero", (edges[0] + edges[-1]) / 2
        parent.text(middle, 0.9, words, transform=transform, ha="center", fontsize=7.5)
    for side, breakpoints, color, height in (
        ("new", layer.new_breakpoints, BLUE, 0.75 * peak),
        ("old", layer.old_breakpoints, ORANGE, -0.4 * peak),
    ):
        x = as_array(breakpoints[feature])
        stems = LineCollection([((at, 0.0), (at, height)) for at in x], colors=color)
        stems.set(gid=f"{side}:{label}", transform=transform)
        stems.set_linewidth(min(1.1, 16 * marker_size / len(x)))
        parent.add_artist(stems)
        if len(x) <= MOST_MARKERS:
            heads = Line2D(x, np.full_like(x, height), color=color, ls="", marker="o")
            heads.set(markersize=marker_size, transform=transform)
            parent.add_artist(heads)


def _peak(density: Array) -> float:
    return float(density.max()) or 1.0


def _legend(curve: TargetCurve | None) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = []
    if curve is not None:
        if curve.target is not None:
            handles.append(Line2D([], [], color=BLACK, lw=2.6, alpha=0.45, label="target"))
        handles.append(Line2D([], [], color=VERMILLION, lw=1.4, label="prediction"))
    handles += [
        Line2D([], [], color=BLUE, marker="o", ms=3.5, lw=1.1, label="new breakpoints (up)"),
        Line2D([], [], color=ORANGE, marker="o", ms=3.5, lw=1.1, label="old breakpoints (down)"),
        Patch(color=SKY_BLUE, alpha=0.45, lw=0, label="importance density of the samples"),
    ]
    return handles


def _title(title: str, first: LayerAdaptation, grid_size: int) -> str:
    old_size = first.old_breakpoints.shape[1] - 1
    grids = f"G {grid_size}" if old_size == grid_size else f"G {old_size} → {grid_size}"
    return f"{title}, {grids}" if title else grids


def _shown(layer: LayerAdaptation, most: int) -> int:
    return min(layer.new_breakpoints.shape[0], most)


def _rows_and_columns(count: int, widest: int) -> tuple[int, int]:
    """The fewest rows with at most ``widest`` columns, filled evenly: 10 with 6 gives 2 × 5."""
    rows = math.ceil(count / widest)
    return rows, math.ceil(count / rows)


def _span(layer: LayerAdaptation, feature: int) -> tuple[float, float]:
    """Range of the samples and the old and new breakpoints of a feature; never empty."""
    columns = (layer.samples, layer.old_breakpoints.T, layer.new_breakpoints.T)
    ends = [end for column in columns for end in column[:, feature].aminmax()]
    return float(min(ends)), float(max(ends))


def _padded(span: tuple[float, float]) -> tuple[float, float]:
    margin = 0.02 * (span[1] - span[0])
    return span[0] - margin, span[1] + margin


def _tidy(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5))  # ticks take most of the drawing time
    tidy(axes, 8)
