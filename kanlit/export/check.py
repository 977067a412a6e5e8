"""Compares the outputs of an exported file with those of its module."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from math import isfinite

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.modules import KANModule

__all__ = ["check", "largest_difference", "points_to_check"]

_TOLERANCE = 1e-5
_ROUNDINGS = 4  # allowed difference in multiples of the module's own rounding error
_POINTS = 1000  # points inside, and points around the grids


def check(predict: Callable[[Tensor], Tensor], module: KANModule) -> float:
    """Checks that an exported file computes the same as its module.

    Different summation orders in float32 give different rounding errors, which steep splines
    amplify. The allowed difference is therefore 1e-5, or four times the difference between the
    module and itself in float64 if that is larger.

    Args:
        predict: Function of the exported file, ``(n, in)`` to ``(n, out)``.
        module: The exported module.

    Returns:
        The :func:`largest_difference` at the :func:`points_to_check`.

    Raises:
        ConfigurationError: If outputs of the module are not finite, or those of the file differ.
    """
    points = points_to_check(module)
    exact = copy.deepcopy(module).double()
    rounding = largest_difference(module, lambda x: exact(x.double()), points)
    if not isfinite(rounding):
        raise ConfigurationError(
            "the checkpoint predicts NaN or infinite values on its own grids: export a checkpoint "
            "whose training did not diverge"
        )
    difference = largest_difference(predict, module, points)
    allowed = max(_TOLERANCE, _ROUNDINGS * rounding)
    if not difference <= allowed:  # NaN, too
        raise ConfigurationError(
            f"the exported network differs from the checkpoint by {difference:.1e} of the "
            f"outputs' scale, where {allowed:.1e} is allowed, and was not written: a forward of "
            f"your own must use operations that the format has; else please report it"
        )
    return difference


def points_to_check(module: KANModule) -> tuple[Tensor, Tensor]:
    """Points inside the grids of the first layer, including breakpoints, and points around them.

    Each ``(n, columns)``, always the same, in the user's units and the dtype of the module. The
    second set extends beyond each end by the width between them.
    """
    points = module.spanning_points()
    low, high = points.amin(0), points.amax(0)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(2, _POINTS, len(low), generator=generator, dtype=torch.float64).to(low)
    inside = torch.cat([low + (high - low) * drawn[0], points])
    return inside, low + (high - low) * (3 * drawn[1] - 1)


def largest_difference(
    predict: Callable[[Tensor], Tensor],
    module: Callable[[Tensor], Tensor],
    points: Sequence[Tensor],
) -> float:
    r"""Largest difference between two functions, in units of their scale.

    .. math:: \max_{nq} \frac{|f_q(x_n) - g_q(x_n)|}{\max(s_q, |g_q(x_n)|)}, \qquad
              s_q = \max_{x \in X_1} |g_q(x)|

    Args:
        predict: f, ``(n, in)`` to ``(n, out)``.
        module: g, likewise.
        points: Sets of x ``(n, in)``; the first, X₁, determines the scale of each output.

    Returns:
        The difference; NaN or infinity if f or g is not finite.
    """
    with torch.no_grad():
        actual, expected = predict(torch.cat(list(points))), module(torch.cat(list(points)))
        scale = expected[: len(points[0])].abs().amax(0).maximum(expected.abs())
    difference = (actual - expected).abs()
    return float(torch.where(difference == 0, 0, difference / scale).amax())
