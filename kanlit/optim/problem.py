"""The objective of a least-squares step as a function of the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from kanlit.optim.jacobian import JacobianColumns
from kanlit.optim.objective import as_blocks, from_first_rank, loss_and_scales
from kanlit.optim.penalty import Penalty
from kanlit.optim.smoothing import EdgePenalties
from kanlit.optim.systems import DampedSystem

__all__ = ["Problem", "try_damping"]


class Problem:
    """The objective as a function of the parameters."""

    def __init__(
        self,
        closure: Callable[[], Any],
        scales: Mapping[str, float],
        columns: JacobianColumns,
        penalty: Penalty | EdgePenalties,
        theta: Tensor,
    ) -> None:
        self._closure = closure
        self._scales = scales
        self._columns = columns
        self.penalty = penalty
        self.theta = theta

    def set_parameters(self, theta: Tensor) -> None:
        """Sets the parameters to θ ``(P,)``."""
        for parameter in self._columns.parameters:
            place = self._columns.slice_of(parameter)
            parameter.copy_(theta[place].view_as(parameter))

    def evaluate(self, theta: Tensor) -> tuple[float, dict[str, Tensor]]:
        """The objective and the residuals at θ; leaves the parameters there."""
        self.set_parameters(theta)
        blocks = as_blocks(self._closure())
        loss, _ = loss_and_scales(blocks, theta.device)
        values = {name: block.values for name, block in blocks.items()}
        return loss + self.penalty.value(theta), values

    def pull(self, values: Mapping[str, Tensor]) -> Tensor:
        """Jᵀ at the initial θ times other residuals, by a backward pass; leaves θ there."""
        self.set_parameters(self.theta)
        with torch.enable_grad():
            own = {name: block.values for name, block in as_blocks(self._closure()).items()}
            gradients = torch.autograd.grad(
                list(own.values()),
                self._columns.parameters,
                [self._scales[name] ** 2 * values[name] for name in own],
                allow_unused=True,
            )
        return self._columns.flatten_gradients(gradients)


def try_damping(
    system: DampedSystem, problem: Problem, damping: float, objective: float, corrections: int
) -> float | None:
    """Tries a damping. Returns actual over predicted decrease, or ``None`` if F does not decrease.

    A correction costs one evaluation and one solve with the same matrix, much less than a new
    Jacobian.
    """
    step = from_first_rank(system.step(damping))
    if not bool(torch.isfinite(step).all()):
        return None
    best, values = problem.evaluate(problem.theta + step)
    there = step
    for _ in range(corrections if math.isfinite(best) else 0):
        there = step + from_first_rank(system.correction(damping, step, values))
        if not bool(torch.isfinite(there).all()):
            break
        value, new_values = problem.evaluate(problem.theta + there)
        if not value < best:
            break
        step, best, values = there, value, new_values
    if not best < objective:
        return None
    if there is not step:
        problem.set_parameters(problem.theta + step)
    predicted = system.predicted(step)
    return (objective - best) / predicted if predicted > 0 else 0.0
