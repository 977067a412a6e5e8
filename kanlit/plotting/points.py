"""Plots the training points of a differential equation over its residual."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from kanlit.plotting.histogram import as_array
from kanlit.plotting.maps import PER_AXIS, RESIDUALS, draw_map, log_scale
from kanlit.plotting.style import BLUE, VERMILLION, head, mark_points, plain, rug, tidy
from kanlit.problems.functions.target import Bounds, grid_points, uniform_points

__all__ = ["points_figure"]

_PER_AXIS = {1: 2001, 2: PER_AXIS}
_UNIFORM = 10000  # places of the residual with more coordinates
_DECADES = 4  # decades of the residual's scale


def points_figure(
    residual: Callable[[Tensor], Tensor],
    bounds: Bounds,
    points: Tensor,
    names: Sequence[str],
    title: str = "",
) -> Figure:
    """Plots ``|residual|`` over the domain, with the training points on it.

    With one coordinate the residual is a curve and the points are ticks; with more coordinates the
    first two are drawn.

    Args:
        residual: Maps ``(n, d)`` to the absolute residual ``(n,)``, NaN outside the domain.
        bounds: ``(low, high)`` of each coordinate.
        points: The training points ``(n, d)``.
        names: Name of each coordinate.
        title: Title of the figure.
    """
    d = len(bounds)
    if d <= 2:
        x = grid_points(bounds, _PER_AXIS[d])
    else:
        x = uniform_points(bounds, _UNIFORM, torch.Generator().manual_seed(0))
    size, places, chosen = as_array(residual(x)), as_array(x), as_array(points)
    mark = Line2D([], [], color=BLUE, ls="", marker=".", label=f"{len(points)} points")
    page = head(4.6, title, [mark])
    (axes,) = page.row(1, 4.5, below=1.1)
    axes.set_xlabel(plain(names[0]), fontsize=9)
    if d == 1:
        axes.plot(places[:, 0], np.maximum(size, np.finfo(float).tiny), color=VERMILLION, lw=1.0)
        axes.set_yscale("log")
        axes.set_ylabel("|residual|", fontsize=9)
        rug(axes, chosen[:, 0])
        tidy(axes, 8)
        return page.figure
    norm = log_scale(size, _DECADES)
    if d == 2:
        draw_map(axes, bounds, size, norm, RESIDUALS, "residual")
    else:
        image = axes.scatter(places[:, 0], places[:, 1], c=size, norm=norm, cmap=RESIDUALS, s=4)
        page.figure.colorbar(image, ax=axes, pad=0.02, fraction=0.05).set_label("|residual|")
    mark_points(axes, chosen, size=4)
    axes.set_ylabel(plain(names[1]), fontsize=9)
    tidy(axes, 8)
    return page.figure
