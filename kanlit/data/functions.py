"""Data sampled from known functions: the synthetic, the sharp and the Feynman benchmarks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor

from kanlit.data.base import Part, TensorDataModule, Tensors
from kanlit.errors import ConfigurationError, check_at_least
from kanlit.hints import near
from kanlit.problems import (
    FEYNMAN,
    SHARP,
    SYNTHETIC,
    TargetFunction,
    grid_points,
    uniform_points,
)
from kanlit.scaling import Standardization

__all__ = ["FeynmanData", "FunctionData", "SharpData", "SyntheticData"]

_FIRST_SEED = 42
_VALIDATION_POINTS = 1000
_VALIDATION_SEED_SHIFT = 1_000_000_007
_TEST_SEED = 2_000_000_011
_TEST_POINTS = 10**6


class FunctionData(TensorDataModule):
    """Samples of a function at points in its box.

    The test set is a grid that includes both ends of each axis: 1000 points in 1-D, 200² in 2-D,
    30³ in 3-D and 20⁴ in 4-D; in higher dimensions it is 10⁶ uniform points, independent of the
    seed. Prediction uses the inputs of the test set.

    Args:
        target: The function.
        samples: Number of points drawn.
        batch_size: Points per training step; None uses all points.
        seed: Seed of the points and of the order of mini-batches.
        standardize: Whether the model standardizes inputs and targets to mean 0 and standard
            deviation 1 over the training points; errors stay in the function's units.
        input_names: A name for each input; by default ``x1, x2, …``.
        target_name: A name for the values; by default ``y``.
    """

    target: TargetFunction
    points_per_axis: ClassVar[Mapping[int, int]] = MappingProxyType({1: 1000, 2: 200, 3: 30, 4: 20})
    """Points of the test grid along each axis, by dimension; others have uniform points."""

    @abstractmethod  # a setting cannot be a function
    def __init__(
        self,
        target: TargetFunction,
        samples: int,
        batch_size: int | None,
        seed: int,
        standardize: bool = True,
        input_names: Sequence[str] | None = None,
        target_name: str = "y",
    ) -> None:
        super().__init__(target.dim, 1, batch_size, seed, input_names, [target_name], target)
        self.samples = samples
        self.standardize = standardize

    def standardization(self) -> Standardization | None:
        if not self.standardize:
            return None
        x = self.points("train")
        return Standardization.from_samples(x, self.values("train", x))

    def points(self, part: Part) -> Tensor:
        """Points ``(n, dim)`` of the training part, or 1000 others for validation."""
        if part == "train":
            return self._uniform(self.samples, self.seed)
        return self._uniform(_VALIDATION_POINTS, self.seed + _VALIDATION_SEED_SHIFT)

    def values(self, part: Part, x: Tensor) -> Tensor:
        """Targets at the points of a part, ``(n, 1)``."""
        return self.target(x)

    def build(self, part: Part) -> Tensors:
        x = self.points(part) if part in ("train", "validate") else self._test_points()
        return (x,) if part == "predict" else (x, self.values(part, x))

    def _test_points(self) -> Tensor:
        """Points ``(n, dim)`` of the test set, also used for prediction."""
        if (per_axis := self.points_per_axis.get(self.target.dim)) is not None:
            return grid_points(self.target.bounds, per_axis)
        return self.uniform_test_points(_TEST_POINTS)

    def uniform_test_points(self, count: int) -> Tensor:
        """``count`` uniform points, independent of the seed."""
        return self._uniform(count, _TEST_SEED)

    def _uniform(self, count: int, seed: int) -> Tensor:
        return uniform_points(self.target.bounds, count, torch.Generator().manual_seed(seed))


class SyntheticData(FunctionData):
    """The synthetic benchmark: training and validation points uniform in the function's box.

    Validation uses 1000 other points. The test set is a grid of 1000 points in 1-D, 200² in 2-D
    and 20⁴ in 4-D, and 10⁶ uniform points in 6-D.

    Args:
        function: Name of the function: f1 to f10, or gaussian for exp(-200 x²).
        samples: Number of training points.
        batch_size: Points per training step; null uses all points (full batch, one step per epoch).
        seed: Seed of the points; null is 42 plus the function's number (42 for gaussian), so that
            each function has one fixed training set.
        standardize: Whether the model standardizes inputs and targets to mean 0 and standard
            deviation 1 over the training points; errors stay in the function's units.
    """

    def __init__(
        self,
        function: str = "f1",
        samples: int = 4000,
        batch_size: int | None = None,
        seed: int | None = None,
        standardize: bool = True,
    ) -> None:
        target = _chosen(function, SYNTHETIC)
        check_at_least("samples", samples, 1)
        if seed is None:
            seed = _FIRST_SEED + (0 if function == "gaussian" else int(function[1:]))
        super().__init__(target, samples, batch_size, seed, standardize)
        self.function = function


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

    points_per_axis = MappingProxyType({1: 20001, 2: 401, 4: 20})  # for a feature of width 1e-3

    def __init__(
        self,
        function: str = "peaks",
        samples: int = 4000,
        batch_size: int | None = None,
        seed: int = 42,
        standardize: bool = True,
    ) -> None:
        target = _chosen(function, SHARP)
        check_at_least("samples", samples, 1)
        super().__init__(target, samples, batch_size, seed, standardize)
        self.function = function


class FeynmanData(FunctionData):
    """The Feynman benchmark: uniform points, 80 % for training and 20 % for validation.

    Inputs lie in [-1 + 1e-6, 1]; the test set is a grid of 200² points in 2-D, 30³ in 3-D.

    Args:
        equation: Number of the equation, 1 to 15.
        samples: Number of training and validation points together.
        batch_size: Points per training step; null uses all points (full batch, one step per epoch).
        seed: Seed of the points; null is 42 plus the equation's number.
        standardize: Whether the model standardizes inputs and targets to mean 0 and standard
            deviation 1 over the training points; errors stay in the function's units.
    """

    def __init__(
        self,
        equation: int = 1,
        samples: int = 5000,
        batch_size: int | None = None,
        seed: int | None = None,
        standardize: bool = True,
    ) -> None:
        if equation not in FEYNMAN:
            raise ConfigurationError(
                f"unknown equation {equation}: choose a number from 1 to {len(FEYNMAN)}"
            )
        check_at_least("samples", samples, 2)
        seed = _FIRST_SEED + equation if seed is None else seed
        super().__init__(FEYNMAN[equation], samples, batch_size, seed, standardize)
        self.equation = equation

    def points(self, part: Part) -> Tensor:
        x = self._uniform(self.samples, self.seed)
        kept = 4 * self.samples // 5
        return x[:kept] if part == "train" else x[kept:]


def _chosen(function: str, functions: Mapping[str, TargetFunction]) -> TargetFunction:
    if function not in functions:
        meant = near(function, functions, repr)
        raise ConfigurationError(
            f"unknown function {function!r}: {meant}choose one of {', '.join(functions)}"
        )
    return functions[function]
