"""Plots a solution at some values of a coordinate: slices side by side, or an animation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.animation import FFMpegWriter, PillowWriter
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.plotting.histogram import Array, as_array
from kanlit.plotting.input_knots import (
    InputKnots,
    draw_knots,
    knot_handles,
    points_handle,
    stacked_knots,
)
from kanlit.plotting.maps import (
    PER_AXIS,
    RESIDUALS,
    draw_map,
    linear_scale,
    log_scale,
    root_mean_square,
)
from kanlit.plotting.style import BLACK, VERMILLION, head, mark_points, plain, tidy
from kanlit.problems.functions.target import Bounds, grid_points

__all__ = ["Slice", "animate_solution", "slices_figure"]

_COLUMNS, _HEIGHT, _ROOM = 3, 3.2, 0.3  # panels in a row, their height and room above, in inches
_DECADES = 4  # of errors and residuals
_MOST_POINTS = 2000
_PER_AXIS = {1: 501, 2: PER_AXIS}
_RATE, _DPI = 10, 80  # frames per second, dots per inch


@dataclass(frozen=True)
class Slice:
    """A solution in one or two coordinates, where all others are fixed.

    Attributes:
        label: What is fixed, such as ``t = 0.5``.
        predict: Maps ``(n, k)`` to ``(n, unknowns)``, NaN outside the domain.
        residual: Maps ``(n, k)`` to the absolute residual ``(n,)``.
        points: The training points near it ``(m, k)``.
        reference: The solution, like ``predict``, if it is known.
    """

    label: str
    predict: Callable[[Tensor], Tensor]
    residual: Callable[[Tensor], Tensor]
    points: Tensor
    reference: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class _Quantity:
    """What has a map or curve on each slice.

    Attributes:
        gid: Identifier.
        title: Its title.
        values: ``(slices, n)``.
        beside: The reference, like ``values``, for an unknown that has one.
        is_size: Whether it is an error or a residual, on a logarithmic scale.
    """

    gid: str
    title: str
    values: Array
    beside: Array | None = None
    is_size: bool = False

    def scale(self) -> tuple[Normalize, str | Colormap]:
        if self.is_size:
            colors: str | Colormap = RESIDUALS if self.gid == "residual" else "magma"
            return log_scale(self.values, _DECADES), colors
        return linear_scale(self.values if self.beside is None else self.beside), "cividis"


def _quantities(x: Tensor, unknowns: Sequence[str], slices: Sequence[Slice]) -> Iterator[_Quantity]:
    found = np.stack([as_array(each.predict(x)).T for each in slices], 1)
    known = np.full_like(found, np.nan)
    for i, each in enumerate(slices):
        if each.reference is not None:
            known[:, i] = as_array(each.reference(x)).T
    for name, values, truth in zip(unknowns, found, known, strict=True):
        there = np.isfinite(truth) & np.isfinite(values)
        if not there.any():
            yield _Quantity(f"prediction:{name}", f"{name}: prediction", values)
            continue
        error = np.abs(values - truth)
        relative = np.linalg.norm(error[there]) / np.linalg.norm(truth[there])
        yield _Quantity(f"prediction:{name}", f"{name}: prediction", values, truth)
        yield _Quantity(f"reference:{name}", f"{name}: reference", truth, truth)
        words = f"{name}: |error|, relative L2 {relative:.1e}"
        yield _Quantity(f"error:{name}", words, error, is_size=True)
    sizes = np.stack([as_array(each.residual(x)) for each in slices])
    words = f"|residual|, root mean square {root_mean_square(sizes):.1e}"
    yield _Quantity("residual", words, sizes, is_size=True)


def slices_figure(
    bounds: Bounds,
    names: Sequence[str],
    unknowns: Sequence[str],
    slices: Sequence[Slice],
    knots: Sequence[InputKnots],
    title: str = "",
    equal: bool = False,
) -> Figure:
    """Plots a solution over two coordinates, with a row per quantity and a column per slice.

    The rows are prediction, reference and error of each unknown, with the relative L2 error over
    all slices, and the residual with the training points near each slice. Each row has one scale.

    Args:
        bounds: ``(low, high)`` of both coordinates.
        names: Name of each coordinate.
        unknowns: Name of each unknown.
        slices: At most three.
        knots: Breakpoints of the network's inputs.
        title: Title of the figure.
        equal: Whether both coordinates have the same scale.
    """
    rows = list(_quantities(grid_points(bounds, PER_AXIS), unknowns, slices))
    handles = [*knot_handles(knots, names), points_handle("training points near each slice")]
    stacked = stacked_knots(knots)
    room = _ROOM + 0.13 * stacked  # for ticks and title above each map
    page = head((_HEIGHT + room) * len(rows), title, handles)
    for row in rows:
        page.skip(room)
        norm, colors = row.scale()
        panels = page.row(_COLUMNS, _HEIGHT, below=1.1, gap=0.65)
        for i, (axes, each) in enumerate(zip(panels, slices, strict=False)):
            draw_map(axes, bounds, row.values[i], norm, colors, f"{row.gid}:{i}", equal)
            axes.set_xlabel(plain(names[0]), fontsize=9)
            draw_knots(axes, knots)
            words = each.label if i else f"{row.title}\n{each.label}"
            axes.set_title(plain(words), fontsize=9, pad=4 + 9 * stacked)
            if row.gid == "residual":
                shown = as_array(each.points)[:: -(-len(each.points) // _MOST_POINTS) or 1]
                mark_points(axes, shown, size=3)
        panels[0].set_ylabel(plain(names[1]), fontsize=9)
        for empty in panels[len(slices) :]:
            empty.remove()
    return page.figure


def animate_solution(
    path: Path,
    bounds: Bounds,
    names: Sequence[str],
    unknowns: Sequence[str],
    slices: Sequence[Slice],
    title: str = "",
    equal: bool = False,
) -> None:
    """Writes an animation of a solution in one or two coordinates, with a frame per slice.

    Over one coordinate prediction and reference are curves, over two they are maps; below are the
    errors and the residual. All frames have the same scales.

    Args:
        path: A file with the suffix .gif, or .mp4, which needs ffmpeg.
        bounds: ``(low, high)`` of each coordinate.
        names: Name of each coordinate.
        unknowns: Name of each unknown.
        slices: The frames.
        title: Title of the figure.
        equal: Whether both coordinates of maps have the same scale.

    Raises:
        ConfigurationError: There is no ffmpeg.
    """
    writer = _writer(path)
    x = grid_points(bounds, _PER_AXIS[len(bounds)])
    found = list(_quantities(x, unknowns, slices))
    if len(bounds) == 1:
        found = [each for each in found if not each.gid.startswith("reference")]
    rows = -(-len(found) // _COLUMNS)
    page = head((_HEIGHT + _ROOM) * rows + _ROOM, title)
    place = 1 - 0.5 / page.figure.get_size_inches()[1]
    label = page.figure.text(0.5, place, "", fontsize=11, ha="center", va="center")
    page.skip(_ROOM)
    moves: list[Callable[[int], Any]] = []
    for start in range(0, len(found), _COLUMNS):
        page.skip(_ROOM)
        panels = page.row(_COLUMNS, _HEIGHT, below=1.1, gap=0.65)
        for axes, each in zip(panels, found[start:], strict=False):
            draw = _map if len(bounds) == 2 else _curve
            moves.append(draw(axes, each, x, bounds, equal))
            axes.set_title(plain(each.title), fontsize=9)
            axes.set_xlabel(plain(names[0]), fontsize=9)
        if len(bounds) == 2:
            panels[0].set_ylabel(plain(names[1]), fontsize=9)
        for empty in panels[len(found) - start :]:
            empty.remove()
    FigureCanvasAgg(page.figure)
    with writer.saving(page.figure, str(path), _DPI):
        for i, frame in enumerate(slices):
            label.set_text(plain(frame.label))
            for move in moves:
                move(i)
            writer.grab_frame()


def _writer(path: Path) -> Any:
    if path.suffix == ".gif":
        return PillowWriter(fps=_RATE)
    if not FFMpegWriter.isAvailable():
        raise ConfigurationError("MP4 needs ffmpeg, which is not installed: choose gif instead")
    return FFMpegWriter(fps=_RATE)


def _map(
    axes: Axes, quantity: _Quantity, x: Tensor, bounds: Bounds, equal: bool
) -> Callable[[int], None]:
    """Draws the first map, and returns what changes it to the i-th."""
    norm, colors = quantity.scale()
    image = draw_map(axes, bounds, quantity.values[0], norm, colors, quantity.gid, equal)

    def move(i: int) -> None:
        image.set_data(quantity.values[i].reshape(PER_AXIS, PER_AXIS).T)

    return move


def _curve(
    axes: Axes, quantity: _Quantity, x: Tensor, bounds: Bounds, equal: bool
) -> Callable[[int], None]:
    """Draws the first curve, and returns what changes it to the i-th."""
    along, values = as_array(x)[:, 0], quantity.values
    lines = []
    if quantity.beside is not None:
        (line,) = axes.plot(along, quantity.beside[0], color=BLACK, lw=2.6, alpha=0.45)
        line.set_label("reference")
        lines.append((line, quantity.beside))
    if quantity.is_size:
        values = np.where(values > 0, values, np.nan)
        axes.set_yscale("log")
    (line,) = axes.plot(along, values[0], color=VERMILLION, lw=1.4, label="prediction")
    lines.append((line, values))
    every = np.concatenate([each for _, each in lines])
    low, high = np.nanmin(every), np.nanmax(every)
    if quantity.is_size:
        axes.set_ylim(max(low, high * 10.0 ** -(_DECADES + 2)), 2 * high)
    else:
        room = 0.06 * (high - low) or 1.0
        axes.set_ylim(low - room, high + room)
        if len(lines) > 1:
            axes.legend(fontsize=7.5, frameon=False)
    axes.set_xlim(*bounds[0])
    axes.grid(alpha=0.25, lw=0.5)
    tidy(axes, 8)

    def move(i: int) -> None:
        for line, each in lines:
            line.set_ydata(each[i])

    return move
