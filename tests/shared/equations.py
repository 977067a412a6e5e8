"""Equations that tests of several rooms solve, and the batches they are solved on."""

from __future__ import annotations

import torch
from torch import Tensor

from kanlit.data import EquationData
from kanlit.problems import Equation

__all__ = ["Pair", "batch_of"]


class Pair(Equation):
    """``u_x = v``, ``v_x = 0``, without conditions."""

    coordinates = ("x",)
    unknowns = ("u", "v")
    bounds = ((0.0, 1.0),)

    def residual(self, u_x: Tensor, v: Tensor, v_x: Tensor) -> dict[str, Tensor]:
        return {"slope": u_x - v, "straight": v_x}

    def solution(self, points: Tensor) -> Tensor:
        return torch.cat([1 + 2 * points, 2 + 0 * points], 1)


def batch_of(data: EquationData) -> dict[str, Tensor]:
    """The only training batch, in float64."""
    data.setup("fit")
    (batch,) = data.train_dataloader()
    assert isinstance(batch, dict)
    return {name: tensor.double() for name, tensor in batch.items()}
