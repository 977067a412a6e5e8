"""Searches the settings of a run by Optuna; needs ``pip install 'kanlit[tune]'``."""

from kanlit.tuning.space import Dimension, load_space

__all__ = ["Dimension", "load_space"]
