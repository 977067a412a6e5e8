"""Slow flow in a right-angled corner one of whose walls slides."""

from __future__ import annotations

from math import pi
from typing import Any, TypeVar

import torch

from kanlit.nn import Jet

__all__ = ["corner_flow"]

Column = TypeVar("Column", torch.Tensor, Jet)

_C = 1 / (1 - pi**2 / 4)
_E = pi * _C / 2
_B = -pi * _E / 2
_TINY = 1e-24  # keeps values finite in the corner itself


def corner_flow(a: Column, b: Column) -> tuple[Column, Column, Column]:
    r"""Velocity along a and b, and pressure over viscosity, at distances a, b from two walls.

    The wall ``b = 0`` slides away from the corner at speed 1, the wall ``a = 0`` rests. The Stokes
    equations there have the stream function

    .. math:: \psi = B b + \theta (C a + E b), \qquad \theta = \operatorname{atan2}(b, a),

    so that the velocity depends on the angle θ alone, and the pressure is
    :math:`2 (C a + E b) / (a^2 + b^2)`.

    Args:
        a: Distances from the wall at rest ``(n, 1)``, from 0.
        b: Distances from the sliding wall ``(n, 1)``, from 0.

    Source: G. I. Taylor, On scraping viscous fluid from a plane surface (1962).
    """
    square: Any = a**2 + b**2 + _TINY
    radius: Any = torch.sqrt(square)  # torch's functions take jets too
    tangent: Any = b / (radius + a)
    angle = 2 * torch.atan(tangent)
    ratio = (_C * a + _E * b) / square
    return _B + _E * angle + ratio * a, ratio * b - _C * angle, 2 * ratio
