"""Size, start and smoothness of a network, chosen by the data."""

from kanlit.selection.fit import SmoothNetwork
from kanlit.selection.search import Selected, select_network
from kanlit.selection.size import too_large

__all__ = ["Selected", "SmoothNetwork", "select_network", "too_large"]
