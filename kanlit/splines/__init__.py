"""B-splines on non-uniform knots: bases, knot placement, refits. Tensors in, tensors out."""

from kanlit.splines.knots import (
    Exterior,
    breakpoints_of,
    enforce_least_gap,
    extend_breakpoints,
    inserted_breakpoints,
    sorted_order,
    uniform_breakpoints,
    weighted_quantile,
    weighted_quantile_breakpoints,
)
from kanlit.splines.pieces import Basis, Outside, Pieces, bspline_basis, evaluate_pieces
from kanlit.splines.refit import (
    fit_to_samples,
    gauss_legendre,
    insert_knots,
    project,
    project_bases,
    refit_on_samples,
)

__all__ = [
    "Basis",
    "Exterior",
    "Outside",
    "Pieces",
    "breakpoints_of",
    "bspline_basis",
    "enforce_least_gap",
    "evaluate_pieces",
    "extend_breakpoints",
    "fit_to_samples",
    "gauss_legendre",
    "insert_knots",
    "inserted_breakpoints",
    "project",
    "project_bases",
    "refit_on_samples",
    "sorted_order",
    "uniform_breakpoints",
    "weighted_quantile",
    "weighted_quantile_breakpoints",
]
