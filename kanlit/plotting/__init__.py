"""Pictures, built from ``matplotlib.figure.Figure``: pyplot keeps every figure it makes alive."""

from kanlit.plotting.histogram import importance_histogram
from kanlit.plotting.knots import TargetCurve, knot_figure

__all__ = ["TargetCurve", "importance_histogram", "knot_figure"]
