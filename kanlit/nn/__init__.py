"""KAN layers and networks as plain torch modules."""

from kanlit.nn.importance import edge_importance, grid_samples
from kanlit.nn.init import Initialization
from kanlit.nn.kan import KAN, Derivatives
from kanlit.nn.layer import KANLayer

__all__ = [
    "KAN",
    "Derivatives",
    "Initialization",
    "KANLayer",
    "edge_importance",
    "grid_samples",
]
