"""Column names, training ranges and standardization of inputs and targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError

__all__ = ["Columns", "Standardization", "default_names", "spread_of"]

_NUMBERS = 2**20  # numbers converted to float64 at a time, to bound the memory of copies


def default_names(in_features: int, out_features: int) -> tuple[list[str], list[str]]:
    """Default names of inputs and targets: ``x1, x2, …`` and ``y``, or ``y1, y2, …``."""
    inputs = [f"x{number}" for number in range(1, in_features + 1)]
    targets = [f"y{number}" for number in range(1, out_features + 1)]
    return inputs, ["y"] if out_features == 1 else targets


@dataclass(frozen=True)
class Columns:
    """Names of inputs and targets, and the training range of each input, in the user's units.

    Checkpoints store it as plain Python objects, see :meth:`state_dict`.

    Attributes:
        inputs: Name of each input.
        targets: Name of each target.
        low: Smallest training value of each input ``(in,)``, float64.
        high: Largest training value of each input ``(in,)``, float64.
        label: Name of the class column, if the targets are class probabilities.

    Raises:
        ValueError: If the range does not have one value per input.
    """

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    low: Tensor
    high: Tensor
    label: str | None = None

    def __post_init__(self) -> None:
        for end in (self.low, self.high):
            if end.shape != (len(self.inputs),):
                raise ValueError(
                    f"a training range needs {len(self.inputs)} values, one per input, got "
                    f"{tuple(end.shape)}"
                )

    @classmethod
    def from_points(
        cls,
        inputs: Sequence[str],
        targets: Sequence[str],
        points: Tensor,
        label: str | None = None,
    ) -> Self:
        """Creates it from names and the range of ``points`` ``(n, in)``."""
        points = points.detach().double().cpu()
        return cls(tuple(inputs), tuple(targets), points.amin(0), points.amax(0), label)

    def is_outside(self, points: Tensor) -> Tensor:
        """Whether each point ``(n, in)`` has an input outside its training range, ``(n,)``.

        Compares in the dtype of the points, so that a training point rounded to float32 is not
        outside.
        """
        low, high = self.low.to(points.dtype), self.high.to(points.dtype)
        return ((points < low) | (points > high)).any(1)

    def check(self, inputs: Sequence[str], targets: Sequence[str], label: str | None) -> None:
        """Checks that data have the same columns as the training data of a checkpoint.

        Args:
            inputs: Names of the inputs, in order.
            targets: Names of the targets, or the classes.
            label: Name of the class column, if the targets are classes.

        Raises:
            ConfigurationError: If a name or the order differs.
        """
        word = "targets" if self.label is None else "classes"
        trained = {"inputs": self.inputs, word: self.targets, "label": (self.label,)}
        given = {"inputs": tuple(inputs), word: tuple(targets), "label": (label,)}
        for what, names in trained.items():
            if given[what] != names:
                kept, own = (", ".join(map(str, each)) for each in (names, given[what]))
                alike = sorted(map(str, names)) == sorted(map(str, given[what]))
                raise ConfigurationError(
                    f"the checkpoint was trained with {what} {kept}{', in this order' * alike}, "
                    f"but the data have {own}: use data with the checkpoint's {what}"
                )

    def state_dict(self) -> dict[str, Any]:
        """The state as lists of names and numbers, for checkpoints."""
        return {
            "inputs": list(self.inputs),
            "targets": list(self.targets),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "label": self.label,
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        """Restores it from :meth:`state_dict`.

        Raises:
            ValueError: If the state is invalid.
        """
        for key in ("inputs", "targets"):
            _check_list(state.get(key), str, f"names of {key}")
        for key in ("low", "high"):
            _check_list(state.get(key), float, f"training range ({key})")
        label = state.get("label")
        if not isinstance(label, str | None):
            raise ValueError(f"the name of its class column is {label!r}, not a string")
        low, high = (torch.tensor(state[end], dtype=torch.float64) for end in ("low", "high"))
        if not bool((low.isfinite() & high.isfinite()).all()):
            raise ValueError("its training range is not finite")
        return cls(tuple(state["inputs"]), tuple(state["targets"]), low, high, label)


def _check_list(value: Any, kind: type, name: str) -> None:
    if type(value) is not list or any(type(item) is not kind for item in value):
        raise ValueError(f"the {name} are not a list of {kind.__name__}")


@dataclass(frozen=True)
class Standardization:
    """Column means and standard deviations, float64: ``z = (x - mean) / std``.

    Attributes:
        input_mean: ``(in,)``.
        input_std: ``(in,)``; 1 for a constant column.
        target_mean: ``(out,)``.
        target_std: ``(out,)``; 1 for a constant column.
    """

    input_mean: Tensor
    input_std: Tensor
    target_mean: Tensor
    target_std: Tensor

    @classmethod
    def identity(cls, inputs: int, targets: int) -> Standardization:
        """Means 0 and standard deviations 1."""
        zeros, ones = torch.zeros(inputs).double(), torch.ones(inputs).double()
        return cls(zeros, ones, torch.zeros(targets).double(), torch.ones(targets).double())

    @classmethod
    def from_samples(cls, inputs: Tensor, targets: Tensor) -> Standardization:
        """The standardization of ``inputs`` ``(n, in)`` and ``targets`` ``(n, out)``."""
        return cls(*_mean_and_std(inputs), *_mean_and_std(targets))


def _mean_and_std(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation of each column; the latter is 1 if constant."""
    together = max(1, _NUMBERS // max(1, len(values)))
    parts = [_of_columns(columns) for columns in values.split(together, 1)]
    return torch.cat([mean for mean, _ in parts]), torch.cat([std for _, std in parts])


def _of_columns(values: Tensor) -> tuple[Tensor, Tensor]:
    values = values.double()
    mean = values.mean(0)
    low, high = values.aminmax(dim=0)
    constant = low == high
    deviations = values - mean
    scale = torch.maximum(high - mean, mean - low)  # factored out, so that squares cannot overflow
    scale = torch.where(constant, torch.ones_like(scale), scale)
    std = scale * deviations.div_(scale).square_().mean(0).sqrt()
    return mean, torch.where(constant, torch.ones_like(std), std)


def spread_of(targets: Tensor) -> Tensor:
    """Median absolute deviation of each column ``(n, out)`` from its median, ``(out,)``, float64.

    The mean absolute deviation if more than half of a column is the median, up to rounding errors
    of its largest deviation, or 1 if all of it is.
    """
    values = targets.double()
    deviations = (values - values.median(0).values).abs()
    spread = deviations.median(0).values
    rounding = torch.finfo(values.dtype).eps * deviations.amax(0)
    spread = torch.where(spread > rounding, spread, deviations.mean(0))
    return torch.where(spread > 0, spread, torch.ones_like(spread))
