"""Lightning callbacks: grid adaptation, stages, pruning, checkpoints, pictures and progress."""

from kanlit.callbacks.calibrate import Calibrate
from kanlit.callbacks.checkpoint import Checkpoint
from kanlit.callbacks.coefficient_errors import CoefficientErrors
from kanlit.callbacks.continuation import Continuation
from kanlit.callbacks.grid_adaptation import GridAdaptationCallback
from kanlit.callbacks.horizon import Horizon
from kanlit.callbacks.keep_best import KeepBest
from kanlit.callbacks.knot_plot import KnotPlotCallback
from kanlit.callbacks.progress import EpochProgressBar
from kanlit.callbacks.pruning import PruningCallback
from kanlit.callbacks.refit import Refit
from kanlit.callbacks.stages import Stages
from kanlit.callbacks.time_windows import TimeWindows
from kanlit.callbacks.training_samples import GridAdaptable

__all__ = [
    "Calibrate",
    "Checkpoint",
    "CoefficientErrors",
    "Continuation",
    "EpochProgressBar",
    "GridAdaptable",
    "GridAdaptationCallback",
    "Horizon",
    "KeepBest",
    "KnotPlotCallback",
    "PruningCallback",
    "Refit",
    "Stages",
    "TimeWindows",
]
