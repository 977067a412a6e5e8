"""Plots target, prediction and error of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from kanlit.plotting.histogram import Array, as_array
from kanlit.plotting.maps import PER_AXIS, draw_map, linear_scale, log_scale, side_ticks
from kanlit.plotting.style import (
    BLACK,
    BLUE,
    SKY_BLUE,
    VERMILLION,
    head,
    plain,
    r2_words,
    rug,
    tidy,
)
from kanlit.problems.functions.target import TargetFunction, grid_points

__all__ = ["FittedCurve", "error_map_figure", "scatter_figure"]

POINTS = {1: 2001, 2: PER_AXIS}  # along each axis, by dimension
DIGITS = 4  # decades of the error scale in 2-D
MOST_PANELS, MOST_ROWS = 3, 4000
_BREAKPOINTS = Line2D([], [], color=BLUE, lw=0, marker="|", ms=9, label="first layer's breakpoints")


_QUANTILE = 1.96  # of the normal distribution, for an interval of 95 %


@dataclass(frozen=True)
class FittedCurve:
    """Predictions along the only input of a table, in its units.

    Attributes:
        x: ``(m,)``, increasing.
        prediction: ``(m, out)``.
        deviation: Standard deviation of a new row ``(m, out)``; None if it is unknown.
        breakpoints: ``(G+1,)``, of the first layer.
    """

    x: Tensor
    prediction: Tensor
    deviation: Tensor | None
    breakpoints: Tensor

    def band(self, target: int) -> tuple[Array, Array]:
        """Ends of the interval of 95 % of new rows; the prediction itself if it is unknown."""
        mean = as_array(self.prediction[:, target])
        if self.deviation is None:
            return mean, mean
        reach = _QUANTILE * as_array(self.deviation[:, target])
        return mean - reach, mean + reach


def error_map_figure(
    target: TargetFunction,
    predict: Callable[[Tensor], Tensor],
    breakpoints: Sequence[Tensor],
    input_names: Sequence[str],
    title: str = "",
    error: float | None = None,
) -> Figure:
    r"""Plots target, prediction and ``|prediction − target|`` over the domain, in 1-D and 2-D.

    In 1-D as curves, with the error below on a logarithmic scale; in 2-D as maps. Points where
    target or prediction is not finite are left out.

    Args:
        target: The function, of one or two inputs.
        predict: Maps ``(n, dim)`` to ``(n, 1)``, in the units of the target.
        breakpoints: Breakpoints of the first layer, ``(G+1,)`` per input in these units, or none.
        input_names: Name of each input.
        title: Title before the error.
        error: Relative L2 error ``‖prediction − target‖ / ‖target‖`` for the title; by default at
            the plotted points, 2001 in 1-D and 161² in 2-D.

    Raises:
        ValueError: If the target has more than two inputs, or the prediction another shape.
    """
    if target.dim not in POINTS:
        raise ValueError(f"an error map needs one or two inputs, {target.name} has {target.dim}")
    x = grid_points(target.bounds, POINTS[target.dim])
    values, predicted = target(x), predict(x)
    if predicted.shape != values.shape:
        raise ValueError(f"predict must return {tuple(values.shape)}, got {tuple(predicted.shape)}")
    reference, estimate = as_array(values[:, 0]), as_array(predicted[:, 0])
    bad = ~(np.isfinite(reference) & np.isfinite(estimate))
    reference[bad], estimate[bad] = np.nan, np.nan
    error = _relative_l2(reference, estimate) if error is None else error
    heading = f"{title}: relative L2 {error:.3e}"
    knots = [as_array(each) for each in breakpoints]
    if target.dim == 1:
        return _curves(as_array(x[:, 0]), reference, estimate, knots[0], input_names[0], heading)
    return _maps(target, reference, estimate, knots, input_names, heading)


def scatter_figure(
    true: Tensor,
    predicted: Tensor,
    target_names: Sequence[str],
    title: str = "",
    across: tuple[str, Tensor] | None = None,
    curve: FittedCurve | None = None,
) -> Figure:
    """Plots predicted against measured values, and residuals against an input.

    With a curve, the rows are drawn around it, with the interval of 95 % of new rows, instead of
    against the predictions.

    Each target has a column of two panels; the title gives R² and RMSE over all rows. At most 4000
    rows are drawn, equally spaced. The axes hold all but the outermost 0.5 % of the rows at each
    end, with a margin, so that an outlier does not hide the rest; the title counts those outside.

    Args:
        true: ``(n, out)``.
        predicted: ``(n, out)``.
        target_names: Name of each target; the first three are drawn.
        title: Title of the figure.
        across: Name and values ``(n,)`` of the input of the residuals, such as the most important
            one; None for no residuals.
        curve: Predictions along that input, if there is no other.

    Raises:
        ValueError: If shapes or names do not fit.
    """
    if true.shape != predicted.shape or len(target_names) != true.shape[1]:
        raise ValueError(
            f"{len(target_names)} target_names for true {tuple(true.shape)} and predicted "
            f"{tuple(predicted.shape)}"
        )
    reference, estimate = as_array(true), as_array(predicted)
    count = min(len(target_names), MOST_PANELS)
    height = 4.6 if count == 1 else 3.6
    below = 0.0 if across is None else 2.5
    page = head(height + below, title, [] if curve is None else _legend(curve))
    rows = np.linspace(0, len(reference) - 1, min(len(reference), MOST_ROWS)).astype(int)
    for i, axes in enumerate(page.row(count, height, below=0.55, gap=0.75)):
        x, y = reference[:, i], estimate[:, i]
        if curve is not None and across is not None:
            _draw_fit(axes, curve, i)
            _draw_rows(axes, as_array(across[1])[rows], x[rows], f"rows:{i}")
            axes.set_title(f"{plain(target_names[i])}: {_fit_words(x, y)}", fontsize=9)
            axes.set_ylabel(plain(target_names[i]), fontsize=9)
            axes.set_ylim(*_robust(np.concatenate([x, *curve.band(i)])))
            continue
        low, high = np.transpose([_robust(x), _robust(y)])
        ends = min(low), max(high)
        axes.plot(ends, ends, color=BLACK, lw=0.8, zorder=1)
        _draw_rows(axes, x[rows], y[rows], f"rows:{i}")
        axes.set(xlim=ends, ylim=ends)
        axes.set_aspect("equal", adjustable="box")
        outside = int(((np.minimum(x, y) < ends[0]) | (np.maximum(x, y) > ends[1])).sum())
        row = "row" if outside == 1 else "rows"
        words = _fit_words(x, y) + (f", {outside} {row} outside" if outside else "")
        axes.set_title(f"{plain(target_names[i])}: {words}", fontsize=9)
        axes.set_xlabel("measured", fontsize=9)
        if i == 0:
            axes.set_ylabel("predicted", fontsize=9)
    if across is not None:
        name, values = across[0], as_array(across[1])
        for i, axes in enumerate(page.row(count, below, below=0.55, gap=0.75)):
            residual = estimate[:, i] - reference[:, i]
            _draw_rows(axes, values[rows], residual[rows], f"residuals:{i}")
            axes.axhline(0.0, color=BLACK, lw=0.8, zorder=1)
            axes.set(xlim=_robust(values), ylim=_robust(residual))
            if curve is not None:
                axes.set_xlim(*_ends_of(curve))
            axes.set_xlabel(plain(name), fontsize=9)
            if i == 0:
                axes.set_ylabel("predicted − measured", fontsize=9)
    return page.figure


def _legend(curve: FittedCurve) -> list[Line2D | Patch]:
    band = Patch(color=SKY_BLUE, alpha=0.4, lw=0, label="95 % of new rows")
    return [
        Line2D([], [], color=BLUE, lw=0, marker="o", ms=3, label="rows"),
        Line2D([], [], color=VERMILLION, lw=1.4, label="prediction"),
        *([] if curve.deviation is None else [band]),
        _BREAKPOINTS,
    ]


def _draw_fit(axes: Axes, curve: FittedCurve, target: int) -> None:
    """Draws the prediction of a target, its band, and the breakpoints."""
    x, mean = as_array(curve.x), as_array(curve.prediction[:, target])
    if curve.deviation is not None:
        band = axes.fill_between(x, *curve.band(target), color=SKY_BLUE, alpha=0.4, lw=0)
        band.set_gid(f"band:{target}")
    axes.plot(x, mean, color=VERMILLION, lw=1.4, zorder=3, gid=f"prediction:{target}")
    rug(axes, as_array(curve.breakpoints))
    axes.set_xlim(*_ends_of(curve))


def _ends_of(curve: FittedCurve) -> tuple[float, float]:
    return _with_ends(as_array(curve.x), as_array(curve.breakpoints))


def _draw_rows(axes: Axes, x: Array, y: Array, gid: str) -> None:
    axes.plot(x, y, ls="", marker="o", ms=3, mew=0, alpha=0.45, color=BLUE, zorder=2, gid=gid)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.get_offset_text().set_fontsize(7.5)
    axes.ticklabel_format(scilimits=(-2, 4))
    axes.grid(alpha=0.25, lw=0.5)
    tidy(axes, 8)


def _robust(values: Array) -> tuple[float, float]:
    """Axis limits around the 0.5th to the 99.5th percentile."""
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [0.5, 99.5]) if finite.size else (0.0, 1.0)
    margin = 0.08 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _fit_words(true: Array, predicted: Array) -> str:
    finite = np.isfinite(true) & np.isfinite(predicted)
    true, squared = true[finite], (predicted[finite] - true[finite]) ** 2
    total = ((true - true.mean()) ** 2).sum() if true.size else 0.0
    fit = f"R² {r2_words(1 - squared.sum() / total)}, " if total > 0 else ""
    return f"{fit}RMSE {np.sqrt(squared.mean()) if true.size else np.nan:.4g}"


def _relative_l2(reference: Array, estimate: Array) -> float:
    finite = np.isfinite(reference) & np.isfinite(estimate)
    scale = np.linalg.norm(reference[finite])
    return (
        float(np.linalg.norm(estimate[finite] - reference[finite]) / scale) if scale > 0 else np.nan
    )


def _curves(
    x: Array, reference: Array, estimate: Array, knots: Array, name: str, heading: str
) -> Figure:
    handles = [
        Line2D([], [], color=BLACK, lw=2.6, alpha=0.45, label="target"),
        Line2D([], [], color=VERMILLION, lw=1.4, label="prediction"),
        _BREAKPOINTS,
    ]
    page = head(5.2, heading, handles)
    (upper,) = page.row(1, 2.9, below=0.35)
    (lower,) = page.row(1, 2.3, below=0.5)
    upper.plot(x, reference, color=BLACK, lw=2.6, alpha=0.45, gid="target")
    upper.plot(x, estimate, color=VERMILLION, lw=1.4, gid="prediction")
    upper.set_ylabel("output", fontsize=9)
    error = np.abs(estimate - reference)
    lower.plot(x, np.where(error > 0, error, np.nan), color=VERMILLION, lw=1.0, gid="error")
    lower.set_yscale("log")
    lower.set_ylabel("|prediction − target|", fontsize=9)
    lower.set_xlabel(plain(name), fontsize=9)
    for axes in (upper, lower):
        axes.margins(x=0.01, y=0.12)
        rug(axes, knots)
        axes.set_xlim(*_with_ends(x, knots))
        axes.grid(alpha=0.25, lw=0.5)
        tidy(axes, 8)
    upper.yaxis.set_major_locator(MaxNLocator(5))
    return page.figure


def _with_ends(x: Array, knots: Array) -> tuple[float, float]:
    """Axis limits that contain x and breakpoints slightly beyond it."""
    room = 0.01 * (x[-1] - x[0])
    knots = knots if knots.size else x
    low = min(x[0], max(knots[0], x[0] - 5 * room)) - room
    high = max(x[-1], min(knots[-1], x[-1] + 5 * room)) + room
    return float(low), float(high)


def _maps(
    target: TargetFunction,
    reference: Array,
    estimate: Array,
    knots: Sequence[Array],
    names: Sequence[str],
    heading: str,
) -> Figure:
    page = head(4.15, heading, [_BREAKPOINTS])
    page.skip(0.25)
    panels = page.row(3, 3.9, below=1.1, gap=0.65)
    scale, error = linear_scale(reference), np.abs(estimate - reference)
    for axes, words, values, norm, colors in (
        (panels[0], "target", reference, scale, "cividis"),
        (panels[1], "prediction", estimate, scale, "cividis"),
        (panels[2], "|prediction − target|", error, log_scale(error, DIGITS), "magma"),
    ):
        draw_map(axes, target.bounds, values, norm, colors, words)
        side_ticks(axes, [(axis, places, BLUE) for axis, places in enumerate(knots)])
        axes.set_xlabel(plain(names[0]), fontsize=9)
        axes.set_title(words, fontsize=9, pad=14)
    panels[0].set_ylabel(plain(names[1]), fontsize=9)
    return page.figure
