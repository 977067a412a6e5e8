"""Lightning callbacks: adapting grids, showing them, and how far a run has come."""

from kanlit.callbacks.grid_adaptation import GridAdaptable, GridAdaptationCallback
from kanlit.callbacks.knot_plot import KnotPlotCallback
from kanlit.callbacks.progress import EpochProgressBar

__all__ = ["EpochProgressBar", "GridAdaptable", "GridAdaptationCallback", "KnotPlotCallback"]
