"""Data sampled from functions with a narrow feature."""

from __future__ import annotations

from torch import Tensor

from kanlit.data.base import Part
from kanlit.data.functions import FunctionData
from kanlit.errors import ConfigurationError, check_at_least
from kanlit.hints import near
from kanlit.problems import SHARP, grid_points

__all__ = ["SharpData"]

_POINTS_PER_AXIS = {1: 20001, 2: 401, 4: 20}  # fine enough for a feature of width 1e-3 in 1-D


class SharpData(FunctionData):
    """Functions with a narrow feature: training and validation points uniform in the box.

    Validation uses 1000 other points. The test set is a grid of 20001 points in 1-D, 401² in 2-D
    and 20⁴ in 4-D.

    Args:
        function: Name of the function: peaks, kink, jump, doppler, layer, front, ring or ridge.
        samples: Number of training points.
        batch_size: Points per training step; null uses all points (full batch, one step per epoch).
        seed: Seed of the points.
        standardize: Whether the model standardizes inputs and targets to mean 0 and standard
            deviation 1 over the training points; errors stay in the function's units.
    """

    def __init__(
        self,
        function: str = "peaks",
        samples: int = 4000,
        batch_size: int | None = None,
        seed: int = 42,
        standardize: bool = True,
    ) -> None:
        if function not in SHARP:
            meant = near(function, SHARP, repr)
            raise ConfigurationError(
                f"unknown function {function!r}: {meant}choose one of {', '.join(SHARP)}"
            )
        check_at_least("samples", samples, 1)
        super().__init__(SHARP[function], samples, batch_size, seed, standardize)
        self.function = function

    def points(self, part: Part) -> Tensor:
        return self.fresh_points(part)

    def _test_points(self) -> Tensor:
        return grid_points(self.target.bounds, _POINTS_PER_AXIS[self.target.dim])
