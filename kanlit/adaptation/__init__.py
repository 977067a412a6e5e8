"""Grid adaptation as density estimation: tensors and plain torch modules, no Lightning."""

from kanlit.adaptation.adapt import Extension, Placement, Refit, adapt_grids, kan_layers
from kanlit.adaptation.density import (
    CurvatureDensity,
    ImportanceContext,
    ImportanceDensity,
    InputDensity,
    Scope,
)
from kanlit.adaptation.health import GridHealth, HealthWatch, grid_health
from kanlit.adaptation.report import AdaptationReport, LayerAdaptation
from kanlit.adaptation.schedule import check_schedule, spread
from kanlit.adaptation.triggers import (
    AllTrigger,
    AnyTrigger,
    Observation,
    PeriodicTrigger,
    PlateauTrigger,
    Trigger,
)

__all__ = [
    "AdaptationReport",
    "AllTrigger",
    "AnyTrigger",
    "CurvatureDensity",
    "Extension",
    "GridHealth",
    "HealthWatch",
    "ImportanceContext",
    "ImportanceDensity",
    "InputDensity",
    "LayerAdaptation",
    "Observation",
    "PeriodicTrigger",
    "Placement",
    "PlateauTrigger",
    "Refit",
    "Scope",
    "Trigger",
    "adapt_grids",
    "check_schedule",
    "grid_health",
    "kan_layers",
    "spread",
]
