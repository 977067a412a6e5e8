"""Levenberg-Marquardt: damped least squares with the exact Jacobian of a KAN."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from kanlit.errors import ConfigurationError
from kanlit.kernel.threads import torch_on_one_thread
from kanlit.nn import KANLayer
from kanlit.optim.calls import Call
from kanlit.optim.check import check_gradient
from kanlit.optim.jacobian import JacobianColumns, RowJacobian, columns_of
from kanlit.optim.objective import agreed, as_blocks, loss_and_scales, processes
from kanlit.optim.penalty import Penalty
from kanlit.optim.recording import recorded
from kanlit.optim.residual import Residual
from kanlit.optim.systems import DampedSystem, NormalSystem, ResidualSystem

__all__ = ["LevenbergMarquardt"]

_LEAST_DAMPING, _MOST_DAMPING = 1e-15, 1e15
_FALL = 1 / 3  # the damping falls to this share at most, step by step
_GROWTH = 2.0  # what the first refusal multiplies it by; each further one by twice as much


class LevenbergMarquardt(Optimizer):
    r"""Levenberg-Marquardt for networks of KAN layers, a few hundred to some thousand parameters.

    Makes smaller, and never larger,

    .. math:: F(\theta) = L(\theta) + (\rho + c L_0) \|\theta\|^2
              + \sigma \sum_{\text{edges}} \int \varphi''^2, \qquad
              L(\theta) = \sum_b w_b\,\mathrm{mean}(r_b^2)

    with L₀ the loss at the start of a step, by steps
    :math:`(J^T J + \Lambda + \mu D)\, h = -g` with the exact Jacobian J of the residuals, Λ of the
    penalties, D the diagonal of :math:`J^T J + \Lambda`, and a damping μ that follows how well the
    last step was foretold (Nielsen). The step's matrix is made from the rows a few at a time, in
    float64 whatever the network's type; train the network itself in float64
    (``--trainer.precision 64-true``) to get below errors of some 1e-4. A step is the same to the
    last bit on any number of threads.

    ``step(closure)`` takes a closure that returns the residuals, named blocks of
    :class:`~kanlit.optim.Residual`, not their loss; it calls it at least twice, and does not call
    ``backward``. KAN layers and ``nn.Linear`` have Jacobian blocks from one backward pass; other
    parameters get a pass for each of their numbers, which suits a coefficient to be found, not a
    layer. Scales of edges stay as they are: the coefficients can do the same. Row i of a block may
    depend on row i of each input only, and derivatives come from ``KAN.sweep``. With several
    processes all rows count as those of one.

    Args:
        params: Parameters, or one group of them.
        damping: μ of the first step, and of the first after a grid has moved.
        max_trials: So many dampings at most are tried in a step; if none makes F smaller, the
            parameters stay as they are.
        corrections: So often at most a step is corrected for the curvature that it met.
        ridge: ρ, toward zero.
        relative_ridge: c, a ridge in proportion to the loss: it holds what the data do not tell,
            and fades as the fit gets better. Where steps end, log L + c‖θ‖² is stationary: the
            likeliest parameters under a Gaussian prior and noise whose size is not known.
        smoothness: σ, toward straight lines; the integral takes each grid as the unit of length.
        memory: GiB that the matrices may take.

    Raises:
        ConfigurationError: A setting out of its range; in a step, a closure that does not return
            residuals, rows that depend on each other, or more parameters than fit in ``memory``.

    Source: Marquardt, SIAM J. Appl. Math. 11 (1963); Nielsen, Damping parameter in Marquardt's
    method, IMM-REP-1999-05; the correction of a step: Transtrum and Sethna, arXiv 1201.5885.
    """

    needs_residuals = True

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        damping: float = 1e-2,
        max_trials: int = 10,
        corrections: int = 1,
        ridge: float = 0.0,
        relative_ridge: float = 0.0,
        smoothness: float = 0.0,
        memory: float = 2.0,
    ) -> None:
        if not _LEAST_DAMPING <= damping <= _MOST_DAMPING:
            raise ConfigurationError(f"damping must be above 0, got {damping}: try 0.01")
        if max_trials < 1:
            raise ConfigurationError(f"max_trials must be at least 1, got {max_trials}: try 10")
        if corrections < 0:
            raise ConfigurationError(f"corrections must be at least 0, got {corrections}: try 1")
        for name, value, usual in (
            ("ridge", ridge, 1e-10),
            ("relative_ridge", relative_ridge, 0.01),
            ("smoothness", smoothness, 1e-10),
        ):
            if not 0 <= value < math.inf:
                raise ConfigurationError(f"{name} must be at least 0, got {value}: try {usual:g}")
        if not memory > 0:
            raise ConfigurationError(f"memory must be above 0 GiB, got {memory}: try 2")
        defaults = {
            "damping": damping,
            "max_trials": max_trials,
            "corrections": corrections,
            "ridge": ridge,
            "relative_ridge": relative_ridge,
            "smoothness": smoothness,
            "memory": memory,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ConfigurationError(
                f"LevenbergMarquardt takes one group of parameters, got {len(self.param_groups)}: "
                f"its step couples all of them"
            )
        self._checked = False

    @torch.no_grad()
    @torch_on_one_thread()
    def step(self, closure: Callable[[], Mapping[str, Residual]]) -> float:  # type: ignore[override]
        """One step.

        Args:
            closure: Evaluates the residuals at the parameters as they are.

        Returns:
            The loss before the step, without the penalties.
        """
        group = self.param_groups[0]
        held: list[Tensor] = group["params"]
        damping, growth = self._damping(held)
        with (
            torch.enable_grad(),
            torch.compiler.set_stance("force_eager"),
            recorded({id(p) for p in held}) as calls,
        ):
            blocks = as_blocks(closure())
        loss, scales = loss_and_scales(blocks, held[0].device)
        if math.isfinite(loss):
            columns = columns_of(calls, held)
            ridge = group["ridge"] + group["relative_ridge"] * loss
            penalty = self._penalty(ridge, calls, columns)
            system, problem = self._linearised(closure, blocks, scales, calls, columns, penalty)
            objective = loss + problem.penalty.value(problem.theta)
            for _ in range(group["max_trials"]):
                gain = _trial(system, problem, damping, objective, group["corrections"])
                if gain is not None:
                    damping *= max(_FALL, 1 - (2 * gain - 1) ** 3)
                    growth = _GROWTH
                    break
                damping, growth = damping * growth, 2 * growth
            else:
                problem.put(problem.theta)
        else:
            damping, growth = damping * growth, 2 * growth
        self._remember(held, damping, growth)
        return loss

    def _linearised(
        self,
        closure: Callable[[], Any],
        blocks: Mapping[str, Residual],
        scales: Mapping[str, float],
        calls: Sequence[Call],
        columns: JacobianColumns,
        penalty: Penalty,
    ) -> tuple[DampedSystem, _Problem]:
        """What gives steps, and what they are tried on."""
        group = self.param_groups[0]
        rows = sum(block.values.numel() for block in blocks.values())
        within = rows < columns.count and group["smoothness"] == 0 and processes() == 1
        size = rows if within else columns.count
        spare = group["memory"] - _matrices_memory(size, columns.count, group["memory"])
        jacobian = RowJacobian(blocks, scales, calls, columns, 2**30 * spare)
        if not self._checked:
            check_gradient(jacobian, scales, columns, closure)
            self._checked = True
        problem = _Problem(closure, scales, columns, penalty)
        if within:
            return ResidualSystem(jacobian, problem.theta, penalty), problem
        return NormalSystem(jacobian, problem.theta, penalty, problem.pull), problem

    def _penalty(self, ridge: float, calls: Sequence[Call], columns: JacobianColumns) -> Penalty:
        layers = {call.layer: None for call in calls if isinstance(call.layer, KANLayer)}
        return Penalty(ridge, self.param_groups[0]["smoothness"], columns, list(layers))

    def _damping(self, held: Sequence[Tensor]) -> tuple[float, float]:
        """The damping, and what a refusal multiplies it by.

        Every parameter keeps a copy. Where one has lost its own, its grid has moved, and what was
        learnt of the old one is worth nothing.
        """
        states = [self.state.get(parameter) for parameter in held]
        if not all(states):
            return self.param_groups[0]["damping"], _GROWTH
        first = states[0]
        assert first is not None
        return first["damping"], first["growth"]

    def _remember(self, held: Sequence[Tensor], damping: float, growth: float) -> None:
        damping = min(max(damping, _LEAST_DAMPING), _MOST_DAMPING)
        for parameter in held:
            # Plain numbers: a tensor would be cast to the parameter's type when it is loaded.
            self.state[parameter] = {"damping": damping, "growth": min(growth, _MOST_DAMPING)}


class _Problem:
    """The objective as a function of the parameters."""

    def __init__(
        self,
        closure: Callable[[], Any],
        scales: Mapping[str, float],
        columns: JacobianColumns,
        penalty: Penalty,
    ) -> None:
        self._closure = closure
        self._scales = scales
        self._columns = columns
        self.penalty = penalty
        self.theta = columns.gather()

    def put(self, theta: Tensor) -> None:
        """Gives the parameters these values."""
        for parameter in self._columns.parameters:
            place = self._columns.of(parameter)
            parameter.copy_(theta[place].view_as(parameter))

    def at(self, theta: Tensor) -> tuple[float, dict[str, Tensor]]:
        """The objective and the residuals; the parameters stay there."""
        self.put(theta)
        blocks = as_blocks(self._closure())
        loss, _ = loss_and_scales(blocks, theta.device)
        values = {name: block.values for name, block in blocks.items()}
        return loss + self.penalty.value(theta), values

    def pull(self, values: Mapping[str, Tensor]) -> Tensor:
        """Jᵀ at θ times other residuals, by a backward pass; the parameters stay at θ."""
        self.put(self.theta)
        with torch.enable_grad():
            own = {name: block.values for name, block in as_blocks(self._closure()).items()}
            gradients = torch.autograd.grad(
                list(own.values()),
                self._columns.parameters,
                [self._scales[name] ** 2 * values[name] for name in own],
                allow_unused=True,
            )
        return self._columns.joined(gradients)


def _trial(
    system: DampedSystem, problem: _Problem, damping: float, objective: float, corrections: int
) -> float | None:
    """Tries one damping; the ratio of what was gained to what was foretold, ``None`` if nothing.

    A correction costs an evaluation and a solve with the same matrix, a new Jacobian many of both.
    """
    step = agreed(system.step(damping))
    if not bool(torch.isfinite(step).all()):
        return None
    best, values = problem.at(problem.theta + step)
    there = step
    for _ in range(corrections if math.isfinite(best) else 0):
        there = step + agreed(system.correction(damping, step, values))
        if not bool(torch.isfinite(there).all()):
            break
        value, found = problem.at(problem.theta + there)
        if not value < best:
            break
        step, best, values = there, value, found
    if not best < objective:
        return None
    if there is not step:
        problem.put(problem.theta + step)
    predicted = system.predicted(step)
    return (objective - best) / predicted if predicted > 0 else 0.0


def _matrices_memory(rows: int, columns: int, limit: float) -> float:
    """GiB of a step's matrices; refuses more than the limit."""
    needed = 8 * (3 * rows**2 + (2 * rows * columns if rows != columns else 0)) / 2**30
    if needed > limit:
        raise ConfigurationError(
            f"LevenbergMarquardt would need {needed:.2g} GiB for {columns} parameters, more than "
            f"memory {limit:g}: take torch.optim.LBFGS or torch.optim.Adam, a smaller network, or "
            f"raise memory"
        )
    return needed
