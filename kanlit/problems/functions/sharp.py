"""Functions with a feature far narrower than their domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import pi
from types import MappingProxyType

import torch
from torch import Tensor

from kanlit.problems.functions.target import Bounds, TargetFunction

__all__ = ["SHARP"]


def _peaks(x: Tensor) -> Tensor:
    x1 = x[:, 0]
    return torch.exp(-(((x1 - 0.3) / 0.01) ** 2)) + torch.exp(-(((x1 - 0.7) / 0.001) ** 2))


def _kink(x: Tensor) -> Tensor:
    return (x[:, 0] - 0.3).abs()


def _jump(x: Tensor) -> Tensor:
    return torch.tanh((x[:, 0] - 0.3) / 0.001)


def _doppler(x: Tensor) -> Tensor:
    x1 = x[:, 0]
    return torch.sqrt(x1 * (1 - x1)) * torch.sin(2.1 * pi / (x1 + 0.05))


def _layer(x: Tensor) -> Tensor:
    return x[:, 0] - torch.exp(-(1 - x[:, 0]) / 0.001)


def _front(x: Tensor) -> Tensor:
    x1, x2 = x.unbind(1)
    return torch.tanh((x2 - 0.5 - 0.25 * torch.sin(2 * pi * x1)) / 0.02)


def _ring(x: Tensor) -> Tensor:
    return torch.exp(-(((x.norm(dim=1) - 0.5) / 0.02) ** 2))


def _ridge(x: Tensor) -> Tensor:
    return torch.exp(-(((x.sum(1) - 2) / 0.05) ** 2))


_SYMMETRIC, _UNIT = (-1.0, 1.0), (0.0, 1.0)

_TABLE: tuple[tuple[str, str, Bounds, Callable[[Tensor], Tensor]], ...] = (
    ("peaks", "exp(-((x1 - 0.3) / 0.01)²) + exp(-((x1 - 0.7) / 0.001)²)", (_UNIT,), _peaks),
    ("kink", "|x1 - 0.3|", (_UNIT,), _kink),
    ("jump", "tanh((x1 - 0.3) / 0.001)", (_UNIT,), _jump),
    ("doppler", "sqrt(x1 (1 - x1)) sin(2.1π / (x1 + 0.05))", (_UNIT,), _doppler),
    ("layer", "x1 - exp(-(1 - x1) / 0.001)", (_UNIT,), _layer),
    ("front", "tanh((x2 - 0.5 - 0.25 sin(2π x1)) / 0.02)", (_UNIT,) * 2, _front),
    ("ring", "exp(-((sqrt(x1² + x2²) - 0.5) / 0.02)²)", (_SYMMETRIC,) * 2, _ring),
    ("ridge", "exp(-((x1 + x2 + x3 + x4 - 2) / 0.05)²)", (_UNIT,) * 4, _ridge),
)

SHARP: Mapping[str, TargetFunction] = MappingProxyType(
    {row[0]: TargetFunction(*row) for row in _TABLE}
)
"""By name. ``doppler`` is that of Donoho and Johnstone, Biometrika 81 (1994), table 1."""
