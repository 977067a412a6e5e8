"""Figures, built from ``matplotlib.figure.Figure`` because pyplot keeps every figure in memory."""

from kanlit.plotting.classes import class_figure
from kanlit.plotting.convergence import convergence_figure
from kanlit.plotting.curves import curve_figure
from kanlit.plotting.error_map import FittedCurve, error_map_figure, scatter_figure
from kanlit.plotting.histogram import importance_histogram
from kanlit.plotting.input_knots import InputKnots
from kanlit.plotting.knots import TargetCurve, knot_figure
from kanlit.plotting.migration import migration_figure
from kanlit.plotting.network import network_figure
from kanlit.plotting.points import points_figure
from kanlit.plotting.slices import Slice, animate_solution, slices_figure
from kanlit.plotting.solution import solution_figure

__all__ = [
    "FittedCurve",
    "InputKnots",
    "Slice",
    "TargetCurve",
    "animate_solution",
    "class_figure",
    "convergence_figure",
    "curve_figure",
    "error_map_figure",
    "importance_histogram",
    "knot_figure",
    "migration_figure",
    "network_figure",
    "points_figure",
    "scatter_figure",
    "slices_figure",
    "solution_figure",
]
