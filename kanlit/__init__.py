"""Kolmogorov-Arnold networks with adaptive grids, on PyTorch Lightning.

The public names below load on first use, so that ``import kanlit`` alone imports neither torch
nor Lightning.

>>> import kanlit
>>> kanlit.KAN.__name__
'KAN'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kanlit.adaptation import (
        BlendedDensity,
        CurvatureDensity,
        DeBoorDensity,
        ErrorDensity,
        GradientDensity,
        ImportanceDensity,
        InputDensity,
        LossDensity,
        adapt_grids,
    )
    from kanlit.callbacks import (
        Calibrate,
        GridAdaptationCallback,
        KeepBest,
        KnotPlotCallback,
        PruningCallback,
        Refit,
    )
    from kanlit.data import (
        ClassTableData,
        EquationData,
        FeynmanData,
        FormulaData,
        HelmholtzData,
        ScikitData,
        SharpData,
        SyntheticData,
        TableData,
    )
    from kanlit.metrics import RelativeL2Error
    from kanlit.modules import ClassificationModule, PDEModule, RegressionModule
    from kanlit.nn import KAN, KANLayer
    from kanlit.optim import LevenbergMarquardt
    from kanlit.problems import (
        Condition,
        Equation,
        PointCloud,
        Polygon,
        Unknown,
        derivative,
        dirichlet,
        neumann,
        periodic,
    )

__version__ = "0.2.0"

__all__ = [
    "KAN",
    "BlendedDensity",
    "Calibrate",
    "ClassTableData",
    "ClassificationModule",
    "Condition",
    "CurvatureDensity",
    "DeBoorDensity",
    "Equation",
    "EquationData",
    "ErrorDensity",
    "FeynmanData",
    "FormulaData",
    "GradientDensity",
    "GridAdaptationCallback",
    "HelmholtzData",
    "ImportanceDensity",
    "InputDensity",
    "KANLayer",
    "KeepBest",
    "KnotPlotCallback",
    "LevenbergMarquardt",
    "LossDensity",
    "PDEModule",
    "PointCloud",
    "Polygon",
    "PruningCallback",
    "Refit",
    "RegressionModule",
    "RelativeL2Error",
    "ScikitData",
    "SharpData",
    "SyntheticData",
    "TableData",
    "Unknown",
    "__version__",
    "adapt_grids",
    "derivative",
    "dirichlet",
    "neumann",
    "periodic",
]

# The module that defines or re-exports each public name.
_HOMES = {
    name: home
    for home, names in {
        "kanlit.adaptation": "BlendedDensity CurvatureDensity DeBoorDensity ErrorDensity "
        "GradientDensity ImportanceDensity InputDensity LossDensity adapt_grids",
        "kanlit.data": "ClassTableData EquationData FeynmanData FormulaData HelmholtzData "
        "ScikitData SharpData SyntheticData TableData",
        "kanlit.modules": "ClassificationModule PDEModule RegressionModule",
        "kanlit.problems": "Condition Equation PointCloud Polygon Unknown derivative dirichlet "
        "neumann periodic",
        "kanlit.callbacks": "Calibrate GridAdaptationCallback KeepBest KnotPlotCallback "
        "PruningCallback Refit",
        "kanlit.nn": "KAN KANLayer",
        "kanlit.optim": "LevenbergMarquardt",
        "kanlit.metrics": "RelativeL2Error",
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next access is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
