"""The user's names for what a network takes and gives, and the range it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["Columns", "default_names"]


def default_names(in_features: int, out_features: int) -> tuple[list[str], list[str]]:
    """Names of columns that have none: ``x1, x2, …`` and ``y``, or ``y1, y2, …``."""
    inputs = [f"x{number}" for number in range(1, in_features + 1)]
    targets = [f"y{number}" for number in range(1, out_features + 1)]
    return inputs, ["y"] if out_features == 1 else targets


@dataclass(frozen=True)
class Columns:
    """Names of inputs and targets, and the training range of each input, in the user's units.

    A checkpoint holds it as plain Python, see :meth:`state_dict`.

    Attributes:
        inputs: A name for each input.
        targets: A name for each target.
        low: The least value that training saw of each input ``(in,)``, float64.
        high: The greatest.
        label: Where the targets are probabilities of classes, what the class is called.

    Raises:
        ValueError: A range that is not one pair for each input.
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
                    f"a training range needs {len(self.inputs)} values, one for each input, got "
                    f"{tuple(end.shape)}"
                )

    @classmethod
    def of(
        cls,
        inputs: Sequence[str],
        targets: Sequence[str],
        points: Tensor,
        label: str | None = None,
    ) -> Self:
        """Names, and the range that ``points`` ``(n, in)`` span."""
        points = points.detach().double().cpu()
        return cls(tuple(inputs), tuple(targets), points.amin(0), points.amax(0), label)

    def is_outside(self, points: Tensor) -> Tensor:
        """Which of the points ``(n, in)`` have an input outside its training range, ``(n,)``.

        Compared in the points' own type: in float32 a point that training saw is not outside for
        the digits that it has lost.
        """
        low, high = self.low.to(points.dtype), self.high.to(points.dtype)
        return ((points < low) | (points > high)).any(1)

    def state_dict(self) -> dict[str, Any]:
        """Lists of names and numbers, as a checkpoint may hold them."""
        return {
            "inputs": list(self.inputs),
            "targets": list(self.targets),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "label": self.label,
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        """What :meth:`state_dict` was made of."""
        low, high = (torch.tensor(state[end], dtype=torch.float64) for end in ("low", "high"))
        names = tuple(state["inputs"]), tuple(state["targets"])
        return cls(*names, low, high, state.get("label"))
