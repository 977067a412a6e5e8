"""Maps of a function of two coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from kanlit.plotting.histogram import Array
from kanlit.plotting.page import WIDTH
from kanlit.problems.functions.target import Bounds

__all__ = [
    "PER_AXIS",
    "RESIDUALS",
    "draw_map",
    "linear_scale",
    "log_scale",
    "root_mean_square",
    "side_ticks",
]

PER_AXIS = 161  # points along each axis
# Color map of residuals, light enough for blue points on it.
RESIDUALS = LinearSegmentedColormap.from_list("residuals", ["#FFFFE5", "#FEC44F", "#EC7014"])


def root_mean_square(values: Array) -> float:
    """That of the finite values; NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.sqrt(np.square(finite).mean())) if finite.size else float("nan")


def linear_scale(values: Array) -> Normalize:
    """A color scale from the 0.5th to the 99.5th percentile, so that no pole dominates it."""
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [0.5, 99.5]) if finite.size else (0.0, 1.0)
    return Normalize(low, high if high > low else low + 1.0)


def log_scale(values: Array, decades: int) -> LogNorm:
    """A logarithmic color scale that ends at the largest value."""
    largest = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
    largest = largest or 1.0
    return LogNorm(largest * 10.0**-decades, largest, clip=True)


def draw_map(
    axes: Axes,
    bounds: Bounds,
    values: Array,
    norm: Normalize,
    colors: str | Colormap,
    gid: str,
    equal: bool = False,
) -> AxesImage:
    """Draws values on a grid, with a color bar below.

    Args:
        axes: Needs 0.7 inches below it.
        bounds: ``(low, high)`` of both coordinates, the first across.
        values: ``(PER_AXIS²,)``, the last coordinate fastest.
        norm: The scale.
        colors: Color map.
        gid: Identifier of the image.
        equal: Whether both coordinates have the same scale.
    """
    (left, right), (bottom, top) = bounds
    image = axes.imshow(
        values.reshape(PER_AXIS, PER_AXIS).T,
        origin="lower",
        extent=(left, right, bottom, top),
        aspect="equal" if equal else "auto",
        norm=norm,
        cmap=colors,
        interpolation="nearest",
        gid=gid,
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=8)
    place, figure = axes.get_position(), axes.get_figure()
    assert isinstance(figure, Figure)
    down = 0.62 / figure.get_size_inches()[1]
    bar_axes = figure.add_axes(
        (place.x0 + 0.1 / WIDTH, place.y0 - down, place.width - 0.2 / WIDTH, 0.18 * down)
    )
    ticks = None if isinstance(norm, LogNorm) else MaxNLocator(4)
    ends = _ends(values, norm)
    figure.colorbar(image, cax=bar_axes, orientation="horizontal", ticks=ticks, extend=ends)
    bar_axes.tick_params(labelsize=7.5)
    return image


def _ends(values: Array, norm: Normalize) -> str:
    """The ends of the color bar that values exceed, for ``extend``."""
    assert norm.vmin is not None
    assert norm.vmax is not None
    low = not isinstance(norm, LogNorm) and bool((values < norm.vmin).any())
    high = bool((values > norm.vmax).any())
    return "both" if low and high else "min" if low else "max" if high else "neither"


def side_ticks(axes: Axes, ticks: Sequence[tuple[int, Array, str]]) -> None:
    """Draws ticks above a map and to its right, inside its limits.

    Args:
        axes: The map.
        ticks: Coordinate (0 is across), places and color of each series; series of the same
            coordinate are drawn one beyond the other.
    """
    limits = axes.get_xlim(), axes.get_ylim()
    drawn = [0, 0]
    for series, (axis, places, color) in enumerate(ticks):
        low, high = limits[axis]
        inside = places[(places >= low) & (places <= high)]
        start = 1.01 + 0.05 * drawn[axis]
        drawn[axis] += 1
        style: dict[str, Any] = {"color": color, "lw": 1.1, "clip_on": False}
        lines = (axes.vlines, axes.hlines)[axis]
        along = (axes.get_xaxis_transform, axes.get_yaxis_transform)[axis]()
        lines(inside, start, start + 0.04, transform=along, gid=f"knots:{series}", **style)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
