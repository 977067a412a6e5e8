"""Validated settings for knot placement and refits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from kanlit.errors import ConfigurationError

__all__ = ["Extension", "Placement", "Refit"]

Extension = Literal["insert", "replace"]
Refit = Literal["projection", "samples"]


@dataclass(frozen=True)
class Placement:
    """Settings for knot placement and refits.

    Attributes:
        uniform_mix: e in [0, 1]: breakpoints are e·uniform + (1-e)·weighted quantiles.
        least_gap: Minimum width of an interval as a fraction of the uniform width, in (0, 1].
        margin: Widening of the grid beyond the samples at each end, as a fraction of their range.
        extension: ``"replace"`` moves all breakpoints when G grows. ``"insert"`` keeps the old
            ones and adds new ones between them, which leaves the function exactly unchanged
            (except for radial bases, which are refitted because their widths change).
        refit: ``"projection"`` is the L2 projection over the grid, independent of data;
            ``"samples"`` is the published least squares on the samples.

    Raises:
        ConfigurationError: If a setting is out of range.
    """

    uniform_mix: float = 0.2
    least_gap: float = 0.01
    margin: float = 0.01
    extension: Extension = "replace"
    refit: Refit = "projection"

    def __post_init__(self) -> None:
        if not 0 <= self.uniform_mix <= 1:
            raise ConfigurationError(
                f"uniform_mix must be between 0 and 1, got {self.uniform_mix}: try 0.2"
            )
        if not 0 < self.least_gap <= 1:
            raise ConfigurationError(
                f"least_gap must be above 0 and at most 1, got {self.least_gap}: try 0.01"
            )
        if not 0 <= self.margin < math.inf:
            raise ConfigurationError(
                f"margin must be at least 0 and finite, got {self.margin}: try 0.01"
            )
        for name, value, choices in (
            ("extension", self.extension, get_args(Extension)),
            ("refit", self.refit, get_args(Refit)),
        ):
            if value not in choices:
                raise ConfigurationError(
                    f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}"
                )
