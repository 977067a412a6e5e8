"""A grid adaptation as a picture: where the knots stood, where they went, and what drew them.

Built from ``matplotlib.figure.Figure`` alone: pyplot keeps every figure it makes alive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from kanlit.adaptation.report import AdaptationReport, LayerAdaptation

__all__ = ["TargetCurve", "importance_histogram", "knot_figure"]

Array = NDArray[np.float64]

# Okabe-Ito: eight colours that stay apart for colour-blind eyes.
BLACK, ORANGE, SKY_BLUE, BLUE, VERMILLION = "#000000", "#E69F00", "#56B4E9", "#0072B2", "#D55E00"

# Inches.
WIDTH, LEFT, RIGHT = 9.6, 0.75, 0.2
TITLE_HEIGHT, HEADING_HEIGHT = 0.75, 0.36
CURVE_HEIGHT, FIRST_ROW_HEIGHT, HIDDEN_ROW_HEIGHT = 2.9, 1.75, 1.15
FIRST_BINS, HIDDEN_BINS = 80, 40
TITLE_FONT: dict[str, Any] = {"fontsize": 13, "fontweight": "bold"}
MOST_MARKERS = 40  # stems beyond this many stand so close that markers would hide them


@dataclass(frozen=True)
class TargetCurve:
    """Target and prediction along one input of the first layer.

    Attributes:
        x: ``(m,)``, rising values of that input, in the units that the first layer sees.
        prediction: ``(m,)``, the network's output there.
        target: ``(m,)``, the function to be learnt, or ``None`` where it is not known.
        label: Name of the axis, such as ``"x1 (x2 held at 0.7)"``.
        feature: Which input of the first layer ``x`` is.
        quantity: Name of the vertical axis.
    """

    x: Tensor
    prediction: Tensor
    target: Tensor | None
    label: str
    feature: int = 0
    quantity: str = "output"


def importance_histogram(
    samples: Tensor, weights: Tensor, bins: int, span: tuple[float, float]
) -> tuple[Array, Array]:
    """Importance density ρ(x) of the weighted samples on equal bins.

    ``ρ_b = Σ_{j in bin b} w_j / (width · Σ_j w_j)``, so that ``Σ_b ρ_b · width = 1``. Samples
    outside ``span`` count in the bin at that end; weights that are all zero give ρ = 0.

    Args:
        samples: ``(n,)``.
        weights: ``(n,)``, not negative.
        bins: How many.
        span: Low and high end of the bins.

    Returns:
        ρ ``(bins,)`` and the bins' edges ``(bins + 1,)``.

    Raises:
        ValueError: If samples or weights are not finite, a weight is negative, their shapes
            differ, or ``span`` is empty.
    """
    x, w = _array(samples), _array(weights)
    low, high = span
    if x.ndim != 1 or x.shape != w.shape:
        raise ValueError(f"samples and weights must both be (n,), got {x.shape} and {w.shape}")
    if not low < high:
        raise ValueError(f"span must rise, got {span}")
    if not np.isfinite(x).all():
        raise ValueError(f"samples hold {np.count_nonzero(~np.isfinite(x))} values not finite")
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError("weights must be finite and not negative")
    edges = np.linspace(low, high, bins + 1)
    largest = w.max(initial=0.0)
    if largest == 0:
        return np.zeros(bins), edges
    position = np.clip((x - low) / (high - low), 0.0, 1.0) * bins
    index = np.minimum(position.astype(np.int64), bins - 1)
    mass = np.bincount(index, weights=w / largest, minlength=bins)  # scaled: no overflow
    return mass / (mass.sum() * (high - low) / bins), edges


def knot_figure(
    report: AdaptationReport,
    curve: TargetCurve | None,
    title: str = "",
    max_features: int = 6,
    feature_names: Sequence[str] | None = None,
) -> Figure:
    """Picture of one adaptation.

    On top ``curve``, with the new breakpoints of its input as ticks below it; then, for each
    input feature of each layer, the importance density of the samples (area), the new
    breakpoints (stems up) and the old ones (stems down). Every breakpoint is drawn where it
    stands. The stems are artists with the ``gid`` ``new:LAYER:FEATURE`` and
    ``old:LAYER:FEATURE``, the areas ``density:LAYER:FEATURE``.

    Args:
        report: What the adaptation did.
        curve: Target and prediction; ``None`` leaves the top panel out.
        title: Goes before ``G old → new``; such as ``"epoch 500"``.
        max_features: So many features of the first layer are drawn, and twice as many of each
            hidden layer, in smaller panels; the heading counts those left out.
        feature_names: Names of the first layer's inputs, ``x1, x2, …`` if left out.

    Raises:
        ValueError: If ``max_features < 1``, the names are not one a feature, or samples or
            weights are not finite.
    """
    first, hidden = report.layers[0], report.layers[1:]
    in_features = first.new_breakpoints.shape[0]
    if max_features < 1:
        raise ValueError(f"max_features must be at least 1, got {max_features}")
    if feature_names is None:
        feature_names = [f"x{i + 1}" for i in range(in_features)]
    if len(feature_names) != in_features:
        raise ValueError(f"{len(feature_names)} feature_names for {in_features} input features")

    shown = [_shown(first, max_features), *(_shown(layer, 2 * max_features) for layer in hidden)]
    shapes = [_rows_and_columns(shown[0], widest=3)]
    shapes += [_rows_and_columns(count, widest=6) for count in shown[1:]]
    height = TITLE_HEIGHT + (CURVE_HEIGHT if curve is not None else 0.0)
    height += HEADING_HEIGHT * len(shapes) + FIRST_ROW_HEIGHT * shapes[0][0]
    height += HIDDEN_ROW_HEIGHT * sum(rows for rows, _ in shapes[1:])
    page = _Page(height)
    page.figure.suptitle(
        _title(title, first, report.grid_size), y=1 - 0.12 / height, va="top", **TITLE_FONT
    )
    page.figure.legend(
        handles=_legend(curve),
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - 0.38 / height),
        ncols=5,
        fontsize=9,
        frameon=False,
    )
    page.skip(TITLE_HEIGHT)
    if curve is not None:
        (axes,) = page.row(1, CURVE_HEIGHT, below=0.5)
        _draw_curve(axes, curve, _array(first.new_breakpoints[curve.feature]))
        axes.set_xlim(*_padded(_span(first, curve.feature)))
    _draw_first(page, first, feature_names, shapes[0], shown[0])
    for layer, shape, count in zip(hidden, shapes[1:], shown[1:], strict=True):
        _draw_hidden(page, layer, shape, count)
    return page.figure


class _Page:
    """Rows of panels placed from the top down, in inches.

    Placed by hand: matplotlib's constrained layout takes half a second a figure, and its solver
    has been seen to end the process.
    """

    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(WIDTH, height), dpi=100)
        self._height = height
        self._top = height

    def skip(self, height: float) -> None:
        self._top -= height

    def heading(self, words: str) -> None:
        """A line of words across the page."""
        y = (self._top - 0.26) / self._height
        self.figure.text(LEFT / WIDTH, y, words, fontsize=9.5, va="baseline")
        self.skip(HEADING_HEIGHT)

    def row(self, columns: int, height: float, below: float) -> list[Axes]:
        """Panels side by side, with ``below`` inches left for their labels."""
        gap = 0.45
        width = (WIDTH - LEFT - RIGHT - gap * (columns - 1)) / columns
        panels = [
            self.figure.add_axes(
                (
                    (LEFT + i * (width + gap)) / WIDTH,
                    (self._top - height + below) / self._height,
                    width / WIDTH,
                    (height - below - 0.08) / self._height,
                )
            )
            for i in range(columns)
        ]
        self.skip(height)
        return panels


def _draw_first(
    page: _Page,
    layer: LayerAdaptation,
    names: Sequence[str],
    shape: tuple[int, int],
    shown: int,
) -> None:
    rows, columns = shape
    page.heading(_heading(layer, shown))
    panels = [axes for _ in range(rows) for axes in page.row(columns, FIRST_ROW_HEIGHT, below=0.5)]
    for i, axes in enumerate(panels):
        if i >= shown:
            axes.remove()
            continue
        _draw_feature(axes, layer, i, FIRST_BINS, marker_size=3.5)
        axes.set_xlabel(names[i], fontsize=9)
        if i % columns == 0:
            axes.set_ylabel("density", fontsize=9)


def _draw_hidden(page: _Page, layer: LayerAdaptation, shape: tuple[int, int], shown: int) -> None:
    rows, columns = shape
    page.heading(_heading(layer, shown))
    panels = [axes for _ in range(rows) for axes in page.row(columns, HIDDEN_ROW_HEIGHT, below=0.4)]
    for i, axes in enumerate(panels):
        if i >= shown:
            axes.remove()
            continue
        _draw_feature(axes, layer, i, HIDDEN_BINS, marker_size=2.0)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.tick_params(labelsize=7)
        axes.set_xlabel(f"input {i + 1}", fontsize=7.5, labelpad=1)


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
    x = _array(curve.x)
    if curve.target is not None:
        axes.plot(x, _array(curve.target), color=BLACK, lw=2.6, alpha=0.45, gid="target")
    axes.plot(x, _array(curve.prediction), color=VERMILLION, lw=1.4, gid="prediction")
    axes.vlines(
        breakpoints,
        0.0,
        0.07,
        transform=axes.get_xaxis_transform(),
        color=BLUE,
        lw=1.4,
        gid="rug",
    )
    axes.margins(y=0.12)
    axes.set_xlabel(curve.label, fontsize=9)
    axes.set_ylabel(curve.quantity, fontsize=9)
    axes.grid(alpha=0.25, lw=0.5)
    _tidy(axes)


def _draw_feature(
    axes: Axes, layer: LayerAdaptation, feature: int, most_bins: int, marker_size: float
) -> None:
    """Density, new stems up and old stems down of one feature."""
    span = _span(layer, feature)
    weights = layer.weights if layer.weights.ndim == 1 else layer.weights[:, feature]
    samples = layer.samples[:, feature]
    bins = min(most_bins, max(20, round(2 * math.sqrt(len(samples)))))
    density, edges = importance_histogram(samples, weights, bins, span)
    label = f"{layer.name}:{feature}"
    axes.stairs(density, edges, fill=True, color=SKY_BLUE, alpha=0.45, lw=0, gid=f"density:{label}")
    peak = float(density.max())
    if peak == 0:
        axes.text(
            0.5, 0.8, "all weights are zero", transform=axes.transAxes, ha="center", fontsize=7.5
        )
        peak = 1.0
    sides = (
        ("new", layer.new_breakpoints, BLUE, 0.75 * peak),
        ("old", layer.old_breakpoints, ORANGE, -0.4 * peak),
    )
    for side, breakpoints, color, height in sides:
        x = _array(breakpoints[feature])
        axes.vlines(
            x,
            0.0,
            height,
            color=color,
            lw=min(1.1, 16 * marker_size / len(x)),
            gid=f"{side}:{label}",
        )
        if len(x) <= MOST_MARKERS:
            axes.plot(x, np.full_like(x, height), "o", color=color, ms=marker_size)
    axes.axhline(0.0, color=BLACK, lw=0.7)
    axes.set_xlim(*_padded(span))
    axes.set_ylim(-0.52 * peak, 1.12 * peak)
    axes.set_yticks([0.0, peak], ["0", f"{peak:.2g}"])
    _tidy(axes)


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
    """As few rows as ``widest`` columns allow, as even as they can be: 10 by 6 is 2 × 5."""
    rows = math.ceil(count / widest)
    return rows, math.ceil(count / rows)


def _span(layer: LayerAdaptation, feature: int) -> tuple[float, float]:
    """Range that holds a feature's samples, old and new breakpoints; never empty."""
    columns = (layer.samples, layer.old_breakpoints.T, layer.new_breakpoints.T)
    ends = [end for column in columns for end in column[:, feature].aminmax()]
    return float(min(ends)), float(max(ends))


def _padded(span: tuple[float, float]) -> tuple[float, float]:
    margin = 0.02 * (span[1] - span[0])
    return span[0] - margin, span[1] + margin


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _array(tensor: Tensor) -> Array:
    return tensor.detach().cpu().double().numpy()
