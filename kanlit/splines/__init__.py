"""B-splines on non-uniform knots: bases, knot placement and refits, as functions of tensors."""

from kanlit.splines.knots import (
    Exterior,
    breakpoints_of,
    enforce_least_gap,
    extend_breakpoints,
    greville,
    inserted_breakpoints,
    nearest,
    uniform_breakpoints,
    weighted_quantile_breakpoints,
)
from kanlit.splines.pieces import Outside, Pieces, bspline_basis, evaluate_pieces
from kanlit.splines.quantiles import sorted_order, weighted_quantile
from kanlit.splines.refit import (
    gauss_legendre,
    insert_knots,
    least_squares,
    nested,
    project,
    project_bases,
)

__all__ = [
    "Exterior",
    "Outside",
    "Pieces",
    "breakpoints_of",
    "bspline_basis",
    "enforce_least_gap",
    "evaluate_pieces",
    "extend_breakpoints",
    "gauss_legendre",
    "greville",
    "insert_knots",
    "inserted_breakpoints",
    "least_squares",
    "nearest",
    "nested",
    "project",
    "project_bases",
    "sorted_order",
    "uniform_breakpoints",
    "weighted_quantile",
    "weighted_quantile_breakpoints",
]
