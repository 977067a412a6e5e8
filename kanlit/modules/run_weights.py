"""Weights that a run sets for the residuals of an equation and its conditions."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.optim import Residual

__all__ = ["RunWeights", "sums_in_time"]

_BINS = 32


class RunWeights:
    r"""Factors of the blocks' weights, and weights of an equation's residuals in time.

    The weight of residuals in bin k of 32 equal bins of the time axis is

    .. math:: w_k = \exp\Big(-\varepsilon \sum_{j<k} L_j\Big)

    with L_j the mean squared residual in bin j, so that later residuals count once the earlier
    ones are small. Source: Wang et al., arXiv 2203.07404, equation 14.

    Attributes:
        factors: Factor of each block's weight, by name; empty before they are set.
        in_time: The weights in time ``(bins,)``, float64, on the CPU.
    """

    def __init__(self) -> None:
        self.factors: dict[str, float] = {}
        self.in_time = torch.ones(_BINS, dtype=torch.float64)

    def applied(
        self, blocks: Mapping[str, Residual], equations: Collection[str], time: Tensor | None
    ) -> dict[str, Residual]:
        """The blocks with their weights.

        Args:
            blocks: Residuals by name.
            equations: Names of the blocks that have weights in time.
            time: Their times ``(n,)``, scaled to 0 to 1; None without weights in time.
        """
        found = {}
        for name, block in blocks.items():
            values, weight = block.values, block.weight * self.factors.get(name, 1.0)
            if time is not None and name in equations:
                values = values * self.in_time.sqrt().to(time)[_bins(time)].unsqueeze(1)
            found[name] = Residual(values, weight)
        return found

    def update_in_time(self, sums: Tensor, strength: float) -> None:
        """Sets the weights in time.

        Args:
            sums: From :func:`sums_in_time`, of all ranks.
            strength: ε.
        """
        losses = sums[0] / sums[1].clamp_min(1)
        earlier = losses.cumsum(0) - losses
        self.in_time = torch.exp(-strength * earlier)

    def state_dict(self) -> dict[str, Any]:
        return {"factors": dict(self.factors), "in_time": self.in_time.tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a state from :meth:`state_dict`.

        Raises:
            ConfigurationError: It is malformed.
        """
        factors, in_time = state.get("factors"), state.get("in_time")
        fits = isinstance(factors, dict) and isinstance(in_time, list) and len(in_time) == _BINS
        if not fits or not all(
            type(number) is float and 0 <= number < math.inf
            for number in (*factors.values(), *in_time)  # type: ignore[union-attr, misc]
        ):
            raise ConfigurationError(
                "the checkpoint's weights of blocks are malformed: use another"
            )
        assert isinstance(factors, dict)
        self.factors = dict(factors)
        self.in_time = torch.tensor(in_time, dtype=torch.float64)


def sums_in_time(time: Tensor, squares: Tensor) -> Tensor:
    """Sum and number of squared residuals in each bin ``(2, bins)``, float64, on the CPU.

    Args:
        time: ``(n,)``, scaled to 0 to 1.
        squares: ``(n,)``.
    """
    rows = torch.stack([squares, torch.ones_like(squares)]).double().cpu()
    return rows.new_zeros(2, _BINS).index_add_(1, _bins(time).cpu(), rows)


def _bins(time: Tensor) -> Tensor:
    return (time * _BINS).long().clamp(0, _BINS - 1)
