"""Plots the solution of a differential equation in two coordinates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from torch import Tensor

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
from kanlit.plotting.style import head, mark_points, plain
from kanlit.problems.functions.target import Bounds, grid_points

__all__ = ["solution_figure"]

_COLUMNS, _HEIGHT = 3, 3.2  # maps in a row, and their height in inches
_DECADES = 4  # of errors and residuals
_MOST_POINTS = 2000


@dataclass(frozen=True)
class _Map:
    gid: str
    title: str
    values: Array
    scale: Normalize
    colors: str | Colormap


def solution_figure(
    bounds: Bounds,
    names: Sequence[str],
    unknowns: Sequence[str],
    predict: Callable[[Tensor], Tensor],
    residual: Callable[[Tensor], Tensor],
    points: Tensor,
    knots: Sequence[InputKnots],
    reference: Callable[[Tensor], Tensor] | None = None,
    title: str = "",
    equal: bool = False,
) -> Figure:
    """Plots prediction, reference, error and residual over the domain, with points and knots.

    Each unknown has maps of its prediction, its reference and ``|prediction − reference|``, with
    the relative L2 error at the 161 × 161 plotted points; without a reference only the prediction.
    Points outside the domain, where these are NaN, are left out.
    Two more maps are ``|residual|``, with its root mean square, and the same with the training
    points over it. Breakpoints of the network's inputs are ticks beside each map.

    Args:
        bounds: ``(low, high)`` of both coordinates.
        names: Name of each coordinate.
        unknowns: Name of each unknown.
        predict: Maps ``(n, 2)`` to ``(n, unknowns)``.
        residual: Maps ``(n, 2)`` to the absolute residual ``(n,)``.
        points: The training points ``(m, 2)``; at most 2000 are drawn, equally spaced in order.
        knots: Breakpoints of the network's inputs.
        reference: The solution, like ``predict``, if it is known; NaN where it is not.
        title: Title of the figure.
        equal: Whether both coordinates have the same scale.
    """
    x = grid_points(bounds, PER_AXIS)
    fields = as_array(predict(x)).T
    known = None if reference is None else as_array(reference(x)).T
    size = as_array(residual(x))
    maps = list(_maps(unknowns, fields, known, size))
    handles = [*knot_handles(knots, names), points_handle(f"{len(points)} training points")]
    stacked = stacked_knots(knots)
    room = 0.2 + 0.13 * stacked  # for ticks and title above each map
    page = head((_HEIGHT + room) * -(-len(maps) // _COLUMNS), title, handles)
    for start in range(0, len(maps), _COLUMNS):
        page.skip(room)
        row = page.row(_COLUMNS, _HEIGHT, below=1.1, gap=0.65)
        for axes, drawn in zip(row, maps[start:], strict=False):
            draw_map(axes, bounds, drawn.values, drawn.scale, drawn.colors, drawn.gid, equal)
            draw_knots(axes, knots)
            axes.set_title(plain(drawn.title), fontsize=9, pad=4 + 9 * stacked)
            axes.set_xlabel(plain(names[0]), fontsize=9)
        row[0].set_ylabel(plain(names[1]), fontsize=9)
        for empty in row[len(maps) - start :]:
            empty.remove()
    (last,) = (axes for axes in page.figure.axes if axes.get_title() == maps[-1].title)
    shown = as_array(points)[:: -(-len(points) // _MOST_POINTS)]
    mark_points(last, shown, size=3)
    return page.figure


def _maps(
    unknowns: Sequence[str], fields: Array, known: Array | None, size: Array
) -> Iterator[_Map]:
    for i, (name, field) in enumerate(zip(unknowns, fields, strict=True)):
        missing = known is None or not np.isfinite(known[i]).any()
        truth = field if known is None or missing else known[i]
        scale = linear_scale(truth)
        yield _Map(f"prediction:{name}", f"{name}: prediction", field, scale, "cividis")
        if missing:
            continue
        error = np.abs(field - truth)
        finite = np.isfinite(error)
        relative = np.linalg.norm(error[finite]) / np.linalg.norm(truth[finite])
        words = f"{name}: |error|, relative L2 {relative:.1e}"
        yield _Map(f"reference:{name}", f"{name}: reference", truth, scale, "cividis")
        yield _Map(f"error:{name}", words, error, log_scale(error, _DECADES), "magma")
    scale = log_scale(size, _DECADES)
    words = f"|residual|, root mean square {root_mean_square(size):.1e}"
    yield _Map("residual", words, size, scale, RESIDUALS)
    yield _Map("residual under points", "|residual| and training points", size, scale, RESIDUALS)
