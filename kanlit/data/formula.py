"""Data sampled from a formula given as text."""

from __future__ import annotations

from math import isfinite

import torch
from torch import Tensor

from kanlit.data.base import Part, Tensors
from kanlit.data.functions import FunctionData
from kanlit.errors import ConfigurationError, check_at_least
from kanlit.problems import Expression, TargetFunction

__all__ = ["FormulaData"]

_NOISE_SEED_SHIFT = 3_000_000_019


class FormulaData(FunctionData):
    """A formula such as y = sin(3*x)*exp(-z), sampled at uniform points within bounds.

    The formula may contain numbers, variables, e and pi, + - * / ** and parentheses, and the
    functions abs, sqrt, exp, expm1, log (ln), log1p, log2, log10, sin, cos, tan, asin (arcsin),
    acos, atan, sinh, cosh, tanh, asinh, acosh, atanh, erf and sign. It is never run as Python.

    The inputs are the variables, in order of appearance; the target has the name on the left side,
    or y if there is none. Validation uses 1000 other points. The test set is a grid of 1000 points
    in 1-D, 200² in 2-D, 30³ in 3-D and 20⁴ in 4-D, and 10⁶ uniform points in higher dimensions.

    Args:
        formula: The formula.
        bounds: Lower and upper bound of each variable, such as {x: [-1, 1], z: [0, 2]}.
        samples: Number of training points.
        noise: Standard deviation of normal noise on training and validation targets, as a fraction
            of the targets' standard deviation; test targets have no noise.
        test_points: Number of uniform test points, independent of the seed; null uses the grid.
        batch_size: Points per training step; null uses all points (full batch, one step per epoch).
        seed: Seed of the points, of the noise and of the order of mini-batches.
        standardize: Whether the model standardizes inputs and targets to mean 0 and standard
            deviation 1 over the training points; errors stay in the formula's units.
    """

    default_recipe = "smooth"

    def __init__(
        self,
        formula: str,
        bounds: dict[str, list[float]],
        samples: int = 4000,
        noise: float = 0.0,
        test_points: int | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        standardize: bool = True,
    ) -> None:
        self.formula = Expression.parse(formula)
        check_at_least("samples", samples, 2)
        if test_points is not None:
            check_at_least("test_points", test_points, 2)
        if not isfinite(noise) or noise < 0:
            raise ConfigurationError(
                f"noise must be at least 0 and finite, got {noise}: 0.01 is one hundredth of the "
                "target's standard deviation"
            )
        box = self.formula.box(bounds)
        evaluate = self.formula
        target = TargetFunction(
            self.formula.target, self.formula.text, box, lambda x: evaluate(x).squeeze(1)
        )
        super().__init__(
            target,
            samples,
            batch_size,
            seed,
            standardize,
            self.formula.variables,
            self.formula.target,
        )
        self.noise = noise
        self.test_points = test_points

    def _test_points(self) -> Tensor:
        if self.test_points is None:
            return super()._test_points()
        return self.uniform_test_points(self.test_points)

    def build(self, part: Part) -> Tensors:
        if part == "train":  # report an invalid test point before training, not after it
            self._checked(self._test_points())
        return super().build(part)

    def values(self, part: Part, x: Tensor) -> Tensor:
        y = self._checked(x)
        if part == "train" and bool((y == y[0]).all()):
            raise ConfigurationError(
                f"formula {self.formula.text!r} is {float(y[0]):g} at every training point: use a "
                "formula that varies within the bounds"
            )
        if self.noise == 0 or part not in ("train", "validate"):
            return y
        seed = self.seed + _NOISE_SEED_SHIFT + (part == "validate")
        normal = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)
        return y + self.noise * y.std(correction=0) * normal

    def _checked(self, x: Tensor) -> Tensor:
        """The formula's values at x, checked to be finite in the dtype of the batches."""
        y = self.target(x)
        wrong = ~y.to(self.dtype).isfinite()[:, 0]
        if bool(wrong.any()):
            point = x[int(wrong.nonzero()[0])]
            at = ", ".join(
                f"{name} = {value:.6g}"
                for name, value in zip(self.input_names, point.tolist(), strict=True)
            )
            part = self.formula.part_not_finite(point)
            what = f"{part} is not finite" if part else f"its value is beyond {self.dtype}"
            raise ConfigurationError(
                f"formula {self.formula.text!r}: {what} at {at}, which is within the bounds: "
                "change the bounds or the formula"
            )
        return y
