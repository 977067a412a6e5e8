"""Plots what a classifier confuses, how sure it is, and where it decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from kanlit.plotting.histogram import Array, as_array
from kanlit.plotting.maps import PER_AXIS
from kanlit.plotting.page import WIDTH
from kanlit.plotting.style import BLACK, BLUE, color, head, plain, shortened, tidy
from kanlit.problems.functions.target import Bounds, grid_points

__all__ = ["class_figure"]

BINS = 15  # of the reliability diagram, as in the calibration error of a test
MOST_CLASSES = 20  # whose counts are printed
_HEIGHT, _LETTER = 3.4, 0.05  # inches


def class_figure(
    true: Tensor,
    probabilities: Tensor,
    classes: Sequence[str],
    title: str = "",
    plane: tuple[Bounds, Sequence[str], Callable[[Tensor], Tensor], Tensor] | None = None,
) -> Figure:
    """Plots the confusion matrix, the reliability diagram, and for two inputs the decision map.

    The confusion matrix counts rows by true and predicted class; its shade is the fraction of the
    true class. The reliability diagram compares the accuracy of predictions with their probability
    in 15 bins; the bars at its foot are the fraction of rows in each bin. The decision map shows
    the likeliest class, paler where its probability is lower, with the rows by their true class.

    Args:
        true: Number of the true class of each row ``(n,)``.
        probabilities: ``(n, classes)``.
        classes: Name of each class.
        title: Title of the figure.
        plane: Bounds and names of the two inputs, a map from points ``(m, 2)`` to probabilities,
            and the inputs ``(n, 2)`` of the rows; None for other numbers of inputs.
    """
    labels, sure = as_array(true).astype(int), as_array(probabilities)
    keys = [
        Line2D([], [], color=color(i), ls="", marker="o", ms=5, label=plain(shortened(name, 24)))
        for i, name in enumerate(classes)
    ]
    page = head(_HEIGHT, title, keys if plane is not None else ())
    panels = page.row(2 if plane is None else 3, _HEIGHT, below=0.75, gap=0.85)
    _draw_confusion(panels[0], labels, sure.argmax(1), classes)
    _draw_reliability(panels[1], labels, sure)
    if plane is not None:
        _draw_decisions(panels[2], labels, *plane)
    return page.figure


def _draw_confusion(axes: Axes, true: Array, found: Array, classes: Sequence[str]) -> None:
    count = len(classes)
    counts = np.bincount(true * count + found, minlength=count**2).reshape(count, count)
    shades = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=1, aspect="auto", gid="confusion")
    if count <= MOST_CLASSES:
        for (i, j), number in np.ndenumerate(counts):
            shade = "white" if shades[i, j] > 0.55 else BLACK
            axes.text(j, i, str(number), ha="center", va="center", fontsize=8, color=shade)
        names = [plain(shortened(name, 10)) for name in classes]
        axes.set_xticks(range(count), names, rotation=30 if count > 4 else 0)
        axes.set_yticks(range(count), names)
        place, room = axes.get_position(), _LETTER * max(map(len, names)) / WIDTH
        axes.set_position((place.x0 + room, place.y0, place.width - room, place.height))
    axes.tick_params(labelsize=8)
    axes.set_title("rows by class", fontsize=9)
    axes.set_xlabel("predicted", fontsize=9)
    axes.set_ylabel("true", fontsize=9)


def _draw_reliability(axes: Axes, true: Array, sure: Array) -> None:
    top, right = sure.max(1), sure.argmax(1) == true
    bins = np.minimum((top * BINS).astype(int), BINS - 1)
    sizes = np.bincount(bins, minlength=BINS)
    filled = sizes > 0
    accuracy = np.bincount(bins, right, BINS)[filled] / sizes[filled]
    mean = np.bincount(bins, top, BINS)[filled] / sizes[filled]
    at = (np.arange(BINS) + 0.5) / BINS
    axes.bar(at, sizes / len(true), 0.8 / BINS, color="#BBBBBB", zorder=1)
    axes.plot([0, 1], [0, 1], color=BLACK, lw=0.8, zorder=2)
    axes.plot(mean, accuracy, color=BLUE, marker="o", ms=4, lw=1.2, zorder=3, gid="reliability")
    error = (np.abs(accuracy - mean) * sizes[filled]).sum() / len(true)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"calibration error {error:.4f}", fontsize=9)
    axes.set_xlabel("probability of the predicted class\n(bars: fraction of the rows)", fontsize=9)
    axes.set_ylabel("accuracy", fontsize=9)
    tidy(axes, 8)


def _draw_decisions(
    axes: Axes,
    true: Array,
    bounds: Bounds,
    names: Sequence[str],
    predict: Callable[[Tensor], Tensor],
    points: Tensor,
) -> None:
    values = as_array(predict(grid_points(bounds, PER_AXIS)))
    count = values.shape[1]
    shades = np.array([to_rgba(color(i)) for i in range(count)])
    sure = (values.max(1) - 1 / count) / (1 - 1 / count)
    image = 1 - (1 - shades[values.argmax(1), :3]) * (0.15 + 0.4 * sure[:, None])
    (left, right), (bottom, top) = bounds
    axes.imshow(
        image.reshape(PER_AXIS, PER_AXIS, 3).transpose(1, 0, 2),
        origin="lower",
        extent=(left, right, bottom, top),
        aspect="auto",
        gid="decisions",
    )
    x, y = as_array(points).T
    style = {"cmap": ListedColormap(shades), "vmin": -0.5, "vmax": count - 0.5}
    axes.scatter(x, y, 9, true, edgecolors="white", linewidths=0.4, **style)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_title("likeliest class, and the rows", fontsize=9)
    axes.set_xlabel(plain(names[0]), fontsize=9)
    axes.set_ylabel(plain(names[1]), fontsize=9)
    axes.tick_params(labelsize=8)
