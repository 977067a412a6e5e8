"""The unknown coefficients of a module as text and as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from kanlit.modules import KANModule, PDEModule
from kanlit.modules.coefficients import Coefficients

__all__ = ["coefficient_lines", "coefficient_values"]


def coefficient_lines(module: KANModule) -> Iterator[str]:
    """A line for each unknown coefficient, the misfit, and what limits their standard errors."""
    coefficients = _coefficients(module)
    if coefficients is None:
        return
    for name, each in coefficients.estimates().items():
        line = f"{name}: {each.value:.6g}"
        if each.error is not None and each.interval is not None:
            low, high = each.interval
            line += f" ± {each.error:.2g} (standard error; 95 % interval {low:.6g} to {high:.6g})"
        yield line
    spread = coefficients.spread
    if spread is not None:
        yield f"misfit: {spread.noise:.3g} (of {spread.rows} observations, per degree of freedom)"
    if coefficients.note:
        yield f"standard errors: {coefficients.note}"


def coefficient_values(module: KANModule) -> dict[str, Any] | None:
    """The same for a JSON file; None without unknown coefficients."""
    coefficients = _coefficients(module)
    if coefficients is None:
        return None
    listed = {
        name: {
            "value": each.value,
            "standard_error": each.error,
            "interval": None if each.interval is None else list(each.interval),
        }
        for name, each in coefficients.estimates().items()
    }
    spread = coefficients.spread
    misfit = None if spread is None or not math.isfinite(spread.noise) else spread.noise
    return {"coefficients": listed, "misfit": misfit, "note": coefficients.note or None}


def _coefficients(module: KANModule) -> Coefficients | None:
    return module.coefficients if isinstance(module, PDEModule) else None
