"""Measured values of the unknowns of an equation, as residuals."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

__all__ = ["OBSERVATIONS", "OBSERVED", "observation_residual"]

OBSERVATIONS = "observations"  # the points in a batch, and the block of residuals
OBSERVED = (OBSERVATIONS, f"{OBSERVATIONS}_values", f"{OBSERVATIONS}_scales")


def observation_residual(
    solution: Callable[[Tensor], Tensor], batch: Mapping[str, Tensor]
) -> Tensor:
    r"""What a solution misses measured values by, in units of their noise, ``(m, 1)``.

    .. math:: r_i = \sum_q s_{iq}\, u_q(x_i) - y_i

    for each measured value :math:`y_i \sigma` of the unknown q, with :math:`s_{iq} = 1/\sigma` and
    0 for the other unknowns.

    Args:
        solution: Maps points ``(m, d)`` to unknowns ``(m, unknowns)``.
        batch: The points x ``(m, d)`` under ``observations``, y ``(m, 1)`` under
            ``observations_values`` and s ``(m, unknowns)`` under ``observations_scales``.
    """
    points, values, scales = (batch[name] for name in OBSERVED)
    return (solution(points) * scales).sum(1, keepdim=True) - values
