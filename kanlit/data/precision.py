"""Checks that float32 can represent the variation of a table's columns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError

__all__ = ["PrecisionCheck"]

_LARGEST_ROUNDING = 1e-2  # of a column's standard deviation


class PrecisionCheck:
    """Accumulates the variance of columns and their rounding errors in float32, by blocks of rows.

    Means and sums of squared deviations of blocks are merged as in Chan, Golub, LeVeque,
    "Updating formulae and a pairwise algorithm for computing sample variances", 1979, eq. 1.5.

    Args:
        names: Names of the columns.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        zeros = torch.zeros(len(names), dtype=torch.float64)
        self._rows = 0
        self._mean, self._squares, self._rounding = zeros, zeros.clone(), zeros.clone()
        self._low, self._high = zeros + torch.inf, zeros - torch.inf
        self._overflows = zeros.bool()

    def add(self, values: Tensor) -> None:
        """Adds rows ``(n, columns)``, float64."""
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
        """Raises if float32 loses a column's variation, as with seconds since 1970.

        Raises:
            ConfigurationError: The root mean square of the rounding errors exceeds 1 % of the
                column's standard deviation, or a value overflows; names the column and its range.
        """
        is_flat = self._rounding > _LARGEST_ROUNDING**2 * self._squares
        lost = (self._high > self._low) & is_flat | self._overflows
        for column in lost.nonzero()[:, 0].tolist():
            low, high = float(self._low[column]), float(self._high[column])
            raise ConfigurationError(
                f"column {self._names[column]!r} ranges from {low:.10g} to {high:.10g}, which "
                "float32 cannot resolve: shift or rescale it in the file, or set "
                "trainer.precision to 64-true"
            )
