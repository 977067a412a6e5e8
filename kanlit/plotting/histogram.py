"""Weighted samples as a density on equal bins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Array", "as_array", "importance_histogram"]

Array = NDArray[np.float64]


def as_array(tensor: Tensor) -> Array:
    """The values of a tensor as a float64 array on the CPU."""
    return tensor.detach().cpu().double().numpy()


def importance_histogram(
    samples: Tensor, weights: Tensor, bins: int, span: tuple[float, float]
) -> tuple[Array, Array]:
    """Importance density ρ(x) of the weighted samples on equal bins.

    ``ρ_b = Σ_{j in bin b} w_j / (width · Σ_j w_j)``, so that ``Σ_b ρ_b · width = 1``. Samples
    outside ``span`` count in the bin at that end; weights that are all zero give ρ = 0.

    Args:
        samples: ``(n,)``.
        weights: ``(n,)``, nonnegative.
        bins: Number of bins.
        span: Lower and upper end of the bins.

    Returns:
        ρ ``(bins,)`` and the bin edges ``(bins + 1,)``.

    Raises:
        ValueError: If samples or weights are not finite, a weight is negative, their shapes
            differ, or ``span`` is empty.
    """
    x, w = as_array(samples), as_array(weights)
    low, high = span
    if x.ndim != 1 or x.shape != w.shape:
        raise ValueError(f"samples and weights must both be (n,), got {x.shape} and {w.shape}")
    if not low < high:
        raise ValueError(f"span must be increasing, got {span}")
    if not np.isfinite(x).all():
        raise ValueError(f"samples contain {np.count_nonzero(~np.isfinite(x))} non-finite values")
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError("weights must be finite and nonnegative")
    edges = np.linspace(low, high, bins + 1)
    largest = w.max(initial=0.0)
    if largest == 0:
        return np.zeros(bins), edges
    position = np.clip((x - low) / (high - low), 0.0, 1.0) * bins
    index = np.minimum(position.astype(np.int64), bins - 1)
    mass = np.bincount(index, weights=w / largest, minlength=bins)  # scaled: no overflow
    return mass / (mass.sum() * (high - low) / bins), edges
