"""When data and network are too large for least squares."""

from __future__ import annotations

__all__ = ["too_large"]

_MOST_INPUTS = 300
_MOST_WORK = 4e9  # multiplications of a step: about a second


def too_large(rows: int, inputs: int, parameters: int) -> str:
    """What is too large for Levenberg-Marquardt steps; empty if nothing is.

    A step takes rows times squared parameters multiplications. With many inputs, even the first
    layer of the smallest network has too many parameters.

    Args:
        rows: Number of training rows.
        inputs: Number of inputs.
        parameters: Number of trained parameters.
    """
    if inputs > _MOST_INPUTS:
        return f"{inputs} inputs"
    if rows * parameters**2 > _MOST_WORK:
        return f"{rows} rows and {parameters} parameters"
    return ""
