"""KAN layers and networks as plain torch modules."""

from kanlit.nn.importance import edge_importance, grid_samples
from kanlit.nn.init import Initialization
from kanlit.nn.jets import Jet
from kanlit.nn.kan import KAN, Derivatives
from kanlit.nn.layer import KANLayer, select_nodes
from kanlit.nn.pruning import Kept, PruningReport, check_prunable, prune, select
from kanlit.nn.separate import separate
from kanlit.nn.sparsity import edge_magnitudes, sparsity_penalty
from kanlit.nn.windows import Windows

__all__ = [
    "KAN",
    "Derivatives",
    "Initialization",
    "Jet",
    "KANLayer",
    "Kept",
    "PruningReport",
    "Windows",
    "check_prunable",
    "edge_importance",
    "edge_magnitudes",
    "grid_samples",
    "prune",
    "select",
    "select_nodes",
    "separate",
    "sparsity_penalty",
]
