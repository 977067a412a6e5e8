"""The fifteen dimensionless Feynman equations of arXiv 2601.18672."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import pi, sqrt
from types import MappingProxyType

import torch
from torch import Tensor

from kanlit.problems.functions.target import TargetFunction

__all__ = ["FEYNMAN"]

_TINY = 1e-6


def _away_from_zero(x: Tensor) -> Tensor:
    """Move ``|x| < 1e-6`` to ``±1e-6``: the sign stays, zero goes up."""
    return torch.where(x.abs() < _TINY, torch.where(x < 0, -_TINY, _TINY).to(x), x)


def _equation(formula: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    """A formula of the separate inputs ``(n,)`` as one of the points ``(n, dim)``."""

    def evaluate(x: Tensor) -> Tensor:
        return formula(*_away_from_zero(x).unbind(1))

    return evaluate


def _normal_density(x1: Tensor, x2: Tensor, x3: Tensor) -> Tensor:
    return torch.exp(-((x1 - x2) ** 2) / (2 * x3**2)) / (sqrt(2 * pi) * x3.abs())


def _law_of_cosines(x1: Tensor, x2: Tensor, x3: Tensor) -> Tensor:
    # As |1 - x1 exp(i (x2 - x3))|, which keeps its digits where the root is small.
    angle = x2 - x3
    return torch.hypot(1 - x1 * torch.cos(angle), x1 * torch.sin(angle))


def _diffraction(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.sin(x1 * x2 / 2) ** 2 / torch.sin(x2 / 2) ** 2


_TABLE: tuple[tuple[int, str, Callable[..., Tensor]], ...] = (
    (3, "exp(-(x1 - x2)² / (2 x3²)) / sqrt(2π x3²)", _normal_density),
    (2, "1 + x1 sin(x2)", lambda x1, x2: 1 + x1 * torch.sin(x2)),
    (2, "x1 (1/x2 - 1)", lambda x1, x2: x1 * (1 / x2 - 1)),
    (2, "(x1 + x2) / (1 + x1 x2)", lambda x1, x2: (x1 + x2) / (1 + x1 * x2)),
    (2, "(1 + x1 x2) / (1 + x1)", lambda x1, x2: (1 + x1 * x2) / (1 + x1)),
    (2, "1 / (1 + x1 x2)", lambda x1, x2: 1 / (1 + x1 * x2)),
    (3, "sqrt(1 + x1² - 2 x1 cos(x2 - x3))", _law_of_cosines),
    (2, "sin²(x1 x2 / 2) / sin²(x2 / 2)", _diffraction),
    (2, "x1 exp(-x2)", lambda x1, x2: x1 * torch.exp(-x2)),
    (2, "(x1 - 1) x2", lambda x1, x2: (x1 - 1) * x2),
    (
        3,
        "x3 sqrt(x1² + x2²) / (4π)",
        lambda x1, x2, x3: x3 * torch.sqrt(x1**2 + x2**2) / (4 * pi),
    ),
    (3, "x1 (1 + x2 cos(x3))", lambda x1, x2, x3: x1 * (1 + x2 * torch.cos(x3))),
    (2, "x1 / (exp(x2) + exp(-x2))", lambda x1, x2: x1 / (torch.exp(x2) + torch.exp(-x2))),
    (3, "x1 + x2 x3", lambda x1, x2, x3: x1 + x2 * x3),
    (3, "x2 (1 + x1 cos(x3))", lambda x1, x2, x3: x2 * (1 + x1 * torch.cos(x3))),
)

FEYNMAN: Mapping[int, TargetFunction] = MappingProxyType(
    {
        number: TargetFunction(
            f"feynman{number}", formula, ((-1 + _TINY, 1.0),) * dim, _equation(evaluate)
        )
        for number, (dim, formula, evaluate) in enumerate(_TABLE, start=1)
    }
)
"""By number, 1 to 15, on ``[-1 + 1e-6, 1]ⁿ``; ``|x| < 1e-6`` is moved to ``±1e-6``."""
