"""The ten synthetic functions of arXiv 2601.18672, and its illustration, a sharp Gaussian."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import pi
from types import MappingProxyType

import torch
from torch import Tensor

from kanlit.problems.functions.target import Bounds, TargetFunction

__all__ = ["SYNTHETIC"]


def _sharp_peak(x: Tensor) -> Tensor:
    x1, x2 = x.unbind(1)
    peak = 100 * torch.exp(-100 * ((x1 - 0.3) ** 2 + (x2 - 0.7) ** 2))
    return peak + 5 * torch.sin(2 * pi * x1) * torch.cos(2 * pi * x2)


def _step(x: Tensor) -> Tensor:
    return torch.tanh(50 * x[:, 0])


def _three_peaks(x: Tensor) -> Tensor:
    x1, x2 = x.unbind(1)
    return (
        50 * torch.exp(-80 * ((x1 - 0.2) ** 2 + (x2 - 0.2) ** 2))
        + 30 * torch.exp(-60 * ((x1 - 0.8) ** 2 + (x2 - 0.3) ** 2))
        + 80 * torch.exp(-100 * ((x1 - 0.5) ** 2 + (x2 - 0.8) ** 2))
    )


def _runge(x: Tensor) -> Tensor:
    return 1 / (1 + 25 * x[:, 0] ** 2)


def _chirp(x: Tensor) -> Tensor:
    return torch.sin(10 * pi * x[:, 0] ** 2)


def _boundary_layer(x: Tensor) -> Tensor:
    return x[:, 0] - torch.exp(-50 * (1 - x[:, 0]))


def _corner_singularity(x: Tensor) -> Tensor:
    return torch.sqrt(x[:, 0] ** 2 + x[:, 1] ** 2 + 0.01)


def _double_boundary_layer(x: Tensor) -> Tensor:
    return torch.tanh(30 * x[:, 0]) + torch.tanh(30 * (x[:, 0] - 1))


def _sparse_interaction(x: Tensor) -> Tensor:
    x1, x2, x3, x4, x5, x6 = x.unbind(1)
    return torch.sin(pi * x1 * x2) + torch.cos(pi * x3 * x4) + x5 * x6


def _ridge(x: Tensor) -> Tensor:
    return 10 * torch.exp(-20 * ((x - x.mean(1, keepdim=True)) ** 2).sum(1))


def _gaussian(x: Tensor) -> Tensor:
    return torch.exp(-200 * x[:, 0] ** 2)


_SYMMETRIC, _UNIT = (-1.0, 1.0), (0.0, 1.0)

_TABLE: tuple[tuple[str, str, Bounds, Callable[[Tensor], Tensor]], ...] = (
    (
        "f1",
        "100 exp(-100 ((x1 - 0.3)² + (x2 - 0.7)²)) + 5 sin(2π x1) cos(2π x2)",
        (_SYMMETRIC,) * 2,
        _sharp_peak,
    ),
    ("f2", "tanh(50 x1)", (_SYMMETRIC,), _step),
    (
        "f3",
        (
            "50 exp(-80 ((x1 - 0.2)² + (x2 - 0.2)²)) + 30 exp(-60 ((x1 - 0.8)² + (x2 - 0.3)²))"
            " + 80 exp(-100 ((x1 - 0.5)² + (x2 - 0.8)²))"
        ),
        (_UNIT,) * 2,
        _three_peaks,
    ),
    ("f4", "1 / (1 + 25 x1²)", (_SYMMETRIC,), _runge),
    ("f5", "sin(10π x1²)", (_UNIT,), _chirp),
    ("f6", "x1 - exp(-50 (1 - x1))", (_UNIT,), _boundary_layer),
    ("f7", "sqrt(x1² + x2² + 0.01)", (_UNIT,) * 2, _corner_singularity),
    ("f8", "tanh(30 x1) + tanh(30 (x1 - 1))", (_UNIT,), _double_boundary_layer),
    ("f9", "sin(π x1 x2) + cos(π x3 x4) + x5 x6", (_UNIT,) * 6, _sparse_interaction),
    ("f10", "10 exp(-20 Σ_i (x_i - mean(x))²)", (_UNIT,) * 4, _ridge),
    ("gaussian", "exp(-200 x1²)", (_SYMMETRIC,), _gaussian),
)

SYNTHETIC: Mapping[str, TargetFunction] = MappingProxyType(
    {row[0]: TargetFunction(*row) for row in _TABLE}
)
"""By name: ``f1`` … ``f10`` and ``gaussian``."""
