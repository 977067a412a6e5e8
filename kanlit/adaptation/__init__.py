"""Grid adaptation as density estimation, on tensors and torch modules, without Lightning."""

from kanlit.adaptation.adapt import adapt_grids
from kanlit.adaptation.density import (
    BlendedDensity,
    CurvatureDensity,
    DeBoorDensity,
    ErrorDensity,
    GradientDensity,
    ImportanceContext,
    ImportanceDensity,
    InputDensity,
    LossDensity,
    Scope,
    Weigher,
)
from kanlit.adaptation.health import GridHealth, HealthWatch, grid_health
from kanlit.adaptation.history import KnotHistory, KnotRecord
from kanlit.adaptation.optimizer_state import OptimizerState
from kanlit.adaptation.placement import Extension, Placement, Refit
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
from kanlit.adaptation.visit import check_adaptable, kan_layers

__all__ = [
    "AdaptationReport",
    "AllTrigger",
    "AnyTrigger",
    "BlendedDensity",
    "CurvatureDensity",
    "DeBoorDensity",
    "ErrorDensity",
    "Extension",
    "GradientDensity",
    "GridHealth",
    "HealthWatch",
    "ImportanceContext",
    "ImportanceDensity",
    "InputDensity",
    "KnotHistory",
    "KnotRecord",
    "LayerAdaptation",
    "LossDensity",
    "Observation",
    "OptimizerState",
    "PeriodicTrigger",
    "Placement",
    "PlateauTrigger",
    "Refit",
    "Scope",
    "Trigger",
    "Weigher",
    "adapt_grids",
    "check_adaptable",
    "check_schedule",
    "grid_health",
    "kan_layers",
    "spread",
]
