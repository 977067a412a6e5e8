"""Writes the unknown coefficients of an equation beside predictions."""

from __future__ import annotations

import json
from pathlib import Path

from kanlit.files import shown, written_whole
from kanlit.modules import KANModule
from kanlit.runs.coefficients import coefficient_lines, coefficient_values

__all__ = ["write_coefficients"]


def write_coefficients(module: KANModule, predictions: Path) -> None:
    """Writes values and standard errors to a JSON file named like the predictions, if any.

    Args:
        module: The module.
        predictions: File of the predictions.
    """
    values = coefficient_values(module)
    if values is None:
        return
    path = predictions.with_suffix(".json")
    with written_whole(path) as unfinished:
        unfinished.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    for line in coefficient_lines(module):
        print(line)
    print(f"coefficients: {shown(path)}")
