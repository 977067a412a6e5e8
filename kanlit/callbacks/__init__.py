"""Lightning callbacks: grid adaptation, pruning, checkpoints, pictures and progress."""

from kanlit.callbacks.checkpoint import Checkpoint
from kanlit.callbacks.grid_adaptation import GridAdaptationCallback
from kanlit.callbacks.keep_best import KeepBest
from kanlit.callbacks.knot_plot import KnotPlotCallback
from kanlit.callbacks.progress import EpochProgressBar
from kanlit.callbacks.pruning import PruningCallback
from kanlit.callbacks.training_samples import GridAdaptable

__all__ = [
    "Checkpoint",
    "EpochProgressBar",
    "GridAdaptable",
    "GridAdaptationCallback",
    "KeepBest",
    "KnotPlotCallback",
    "PruningCallback",
]
