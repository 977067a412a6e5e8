"""Closed formulas of trained networks: edges as known functions, composed and refined."""

from kanlit.symbolic.compose import Edge, compose, edges_of
from kanlit.symbolic.fit import CurveFit, fit_curve
from kanlit.symbolic.formula import Formula, OutputFormula, find_formula
from kanlit.symbolic.library import LIBRARY, Candidate
from kanlit.symbolic.refine import refine, snap

__all__ = [
    "LIBRARY",
    "Candidate",
    "CurveFit",
    "Edge",
    "Formula",
    "OutputFormula",
    "compose",
    "edges_of",
    "find_formula",
    "fit_curve",
    "refine",
    "snap",
]
