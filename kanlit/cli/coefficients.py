"""Writes the unknown coefficients of an equation beside predictions."""

from __future__ import annotations

import json
from pathlib import Path

from kanlit.files import shown, write_text
from kanlit.modules import KANModule

__all__ = ["write_coefficients"]


def write_coefficients(module: KANModule, predictions: Path) -> None:
    """Writes values and standard errors to a JSON file named like the predictions, if any.

    Args:
        module: The module.
        predictions: File of the predictions.
    """
    if module.coefficients is None:
        return
    path = predictions.with_suffix(".json")
    write_text(path, json.dumps(module.coefficients.values(), indent=2) + "\n")
    print("\n".join(module.coefficients.lines()))
    print(f"coefficients: {shown(path)}")
