"""Whether float32 holds what the columns of a table say."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError

__all__ = ["PrecisionCheck"]

_LARGEST_ROUNDING = 1e-2  # of a column's standard deviation


class PrecisionCheck:
    """Collects, block of rows by block, how columns vary and what float32 rounds away of it.

    Means and sums of squared deviations of blocks are merged as in Chan, Golub, LeVeque,
    "Updating formulae and a pairwise algorithm for computing sample variances", 1979, eq. 1.5.

    Args:
        names: Of the columns.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        zeros = torch.zeros(len(names), dtype=torch.float64)
        self._rows = 0
        self._mean, self._squares, self._rounding = zeros, zeros.clone(), zeros.clone()
        self._low, self._high = zeros + torch.inf, zeros - torch.inf
        self._overflows = zeros.bool()

    def add(self, values: Tensor) -> None:
        """Takes in rows ``(n, columns)``, float64."""
        rows, before = len(values), self._rows
        self._rows = before + rows
        mean = values.mean(0)
        apart = mean - self._mean
        self._squares = (
            self._squares
            + (values - mean).square().sum(0)
            + apart.square() * (before * rows / self._rows)
        )
        self._mean = self._mean + apart * (rows / self._rows)
        rounded = values.float()
        self._rounding = self._rounding + (values - rounded).square().sum(0)
        self._overflows = self._overflows | rounded.isinf().any(0)
        self._low = torch.minimum(self._low, values.amin(0))
        self._high = torch.maximum(self._high, values.amax(0))

    def check(self) -> None:
        """Refuse a column whose variation float32 rounds away, such as seconds since 1970.

        Raises:
            ConfigurationError: The rounding errors' root mean square is over a hundredth of the
                column's standard deviation, or float32 has no such number; names column and range.
        """
        is_flat = self._rounding > _LARGEST_ROUNDING**2 * self._squares
        lost = (self._high > self._low) & is_flat | self._overflows
        for column in lost.nonzero()[:, 0].tolist():
            low, high = float(self._low[column]), float(self._high[column])
            raise ConfigurationError(
                f"column {self._names[column]!r} runs from {low:.10g} to {high:.10g}, in "
                "digits that float32 does not hold: shift or rescale it in the file, or run with "
                "--trainer.precision 64-true"
            )
