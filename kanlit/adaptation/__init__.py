"""Grid adaptation as density estimation: tensors and plain torch modules, no Lightning."""

from kanlit.adaptation.adapt import Extension, Placement, Refit, adapt_grids, kan_layers
from kanlit.adaptation.density import (
    CurvatureDensity,
    ImportanceContext,
    ImportanceDensity,
    InputDensity,
    Scope,
)
from kanlit.adaptation.report import AdaptationReport, LayerAdaptation
from kanlit.adaptation.schedule import check_schedule, spread

__all__ = [
    "AdaptationReport",
    "CurvatureDensity",
    "Extension",
    "ImportanceContext",
    "ImportanceDensity",
    "InputDensity",
    "LayerAdaptation",
    "Placement",
    "Refit",
    "Scope",
    "adapt_grids",
    "check_schedule",
    "kan_layers",
    "spread",
]
