"""Levenberg-Marquardt: damped least squares with the exact Jacobian of a KAN."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from kanlit.errors import ConfigurationError
from kanlit.kernel.threads import torch_on_one_thread
from kanlit.nn import KANLayer
from kanlit.optim.calls import Call
from kanlit.optim.check import check_gradient
from kanlit.optim.jacobian import JacobianColumns, RowJacobian, trained_columns
from kanlit.optim.objective import as_blocks, loss_and_scales, sum_over_ranks, world_size
from kanlit.optim.penalty import Penalty
from kanlit.optim.problem import Problem, try_damping
from kanlit.optim.recording import recorded
from kanlit.optim.residual import Residual
from kanlit.optim.smoothing import SmoothFit
from kanlit.optim.strengths import (
    STRENGTHS,
    read_strengths,
    smoothed_penalties,
    write_strengths,
)
from kanlit.optim.systems import DampedSystem, NormalSystem, ResidualSystem, gram

__all__ = ["LevenbergMarquardt"]

_LEAST_DAMPING, _MOST_DAMPING = 1e-15, 1e15
_FALL = 1 / 3  # smallest factor by which an accepted step reduces the damping
_MOST_WHILE_SMOOTHING = 1e6
_GROWTH = 2.0  # factor at the first rejected step; it doubles with each further rejection


class LevenbergMarquardt(Optimizer):
    r"""Levenberg-Marquardt for networks of KAN layers with up to a few thousand parameters.

    Every step decreases, or leaves unchanged,

    .. math:: F(\theta) = L(\theta) + (\rho + c L_0) \|\theta\|^2
              + \sigma \sum_{\text{edges}} \int \varphi''^2, \qquad
              L(\theta) = \sum_b w_b\,\mathrm{mean}(r_b^2)

    with L₀ the loss at the start of the step. Steps h solve
    :math:`(J^T J + \Lambda + \mu D)\, h = -g` with the exact Jacobian J of the residuals, Λ of the
    penalties and D the diagonal of :math:`J^T J + \Lambda`. The damping μ is updated by how well
    the quadratic model predicted the last step (Nielsen). The matrix is accumulated in float64,
    whatever the dtype of the network; train the network itself in float64 to reach errors below
    about 1e-4. A step is bitwise the same on any number of threads.

    ``step(closure)`` takes a closure that returns the residuals, named blocks of
    :class:`~kanlit.optim.Residual`, instead of the loss. It calls the closure at least twice and
    does not call ``backward``. For KAN layers and ``nn.Linear`` one backward pass gives the
    Jacobian; other parameters need a pass per entry, which suits a coefficient of an equation but
    not a layer. Edge scales stay fixed, because coefficients can represent them. Row i of a block
    must depend only on row i of each input, and derivatives must come from ``KAN.jet``. In a
    distributed run, the rows of all ranks are used together.

    Args:
        params: Parameters, or one parameter group.
        damping: μ of the first step, also after a grid has changed.
        max_trials: Largest number of dampings tried per step; if none decreases F, the parameters
            stay unchanged.
        corrections: Largest number of second-order corrections per step.
        ridge: ρ, penalty toward zero.
        relative_ridge: c, a ridge in proportion to the loss. It determines directions that the
            data leave free, and vanishes as the fit improves. At convergence log L + c‖θ‖² is
            stationary: the most likely parameters under a Gaussian prior and unknown noise level.
        smoothness: σ, penalty toward straight lines; the integral scales each grid to unit length.
            "auto" gives each edge two strengths instead, toward a straight line and toward zero,
            which every step fits to the data and their noise, see
            :class:`~kanlit.optim.smoothing.EdgePenalties`.
        memory: Largest size of the matrices in GiB.

    Attributes:
        found: With ``smoothness="auto"``, noise and evidence at the start of the last step.

    Raises:
        ConfigurationError: If a setting is out of range. In a step: if the closure does not return
            residuals, rows depend on each other, or the matrices do not fit into ``memory``.

    Source: Marquardt, SIAM J. Appl. Math. 11 (1963); Nielsen, Damping parameter in Marquardt's
    method, IMM-REP-1999-05; the correction of a step: Transtrum and Sethna, arXiv 1201.5885.
    """

    needs_residuals = True
    lasting_state = (*STRENGTHS, "steps")  # describes the data, not the weights
    state_kinds: ClassVar[Mapping[str, type]] = {  # what a checkpoint may hold
        **dict.fromkeys(STRENGTHS, Tensor),
        "steps": int,
        "damping": float,
        "growth": float,
    }

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        damping: float = 1e-2,
        max_trials: int = 10,
        corrections: int = 1,
        ridge: float = 0.0,
        relative_ridge: float = 0.0,
        smoothness: float | Literal["auto"] = 0.0,
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
            ("smoothness", 0.0 if smoothness == "auto" else smoothness, 1e-10),
        ):
            if not 0 <= value < math.inf:
                raise ConfigurationError(f"{name} must be at least 0, got {value}: try {usual:g}")
        if smoothness == "auto" and (ridge or relative_ridge):
            raise ConfigurationError(
                "smoothness auto chooses all penalties itself: remove ridge and relative_ridge"
            )
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
                f"LevenbergMarquardt supports one parameter group, got {len(self.param_groups)}: "
                f"pass all parameters in one group"
            )
        self._checked = False
        self.found: SmoothFit | None = None

    @torch.no_grad()
    @torch_on_one_thread()
    def step(self, closure: Callable[[], Mapping[str, Residual]]) -> float:  # type: ignore[override]
        """Performs one step.

        Args:
            closure: Evaluates the residuals at the current parameters.

        Returns:
            The loss before the step, without penalties.
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
            columns = trained_columns(calls, held)
            system, problem = self._linearize(closure, blocks, scales, calls, columns, loss)
            objective = loss + problem.penalty.value(problem.theta)
            for _ in range(group["max_trials"]):
                gain = try_damping(system, problem, damping, objective, group["corrections"])
                if gain is not None:
                    damping *= max(_FALL, 1 - (2 * gain - 1) ** 3)
                    growth = _GROWTH
                    break
                damping, growth = damping * growth, 2 * growth
            else:
                problem.set_parameters(problem.theta)
            if group["smoothness"] == "auto" and damping > _MOST_WHILE_SMOOTHING:
                damping, growth = group["damping"], _GROWTH  # new strengths, a new objective
        else:
            damping, growth = damping * growth, 2 * growth
        self._save_damping(held, damping, growth)
        return loss

    def _linearize(
        self,
        closure: Callable[[], Any],
        blocks: Mapping[str, Residual],
        scales: Mapping[str, float],
        calls: Sequence[Call],
        columns: JacobianColumns,
        loss: float,
    ) -> tuple[DampedSystem, Problem]:
        """The linear system for the steps and the nonlinear problem."""
        group = self.param_groups[0]
        rows = sum(block.values.numel() for block in blocks.values())
        use_rows = rows < columns.count and group["smoothness"] == 0 and world_size() == 1
        size = rows if use_rows else columns.count
        spare = group["memory"] - _matrices_memory(size, columns.count, group["memory"])
        jacobian = RowJacobian(blocks, scales, calls, columns, 2**30 * spare)
        if not self._checked:
            check_gradient(jacobian, scales, columns, closure)
            self._checked = True
        layers = {call.layer: None for call in calls if isinstance(call.layer, KANLayer)}
        theta = columns.gather()
        if group["smoothness"] == "auto":
            products = gram(jacobian, columns.count)
            count = int(sum_over_ranks(torch.tensor(float(rows))))
            smooth, self.found = smoothed_penalties(
                self, list(layers), columns, products[:-1, :-1], loss, count
            )
            problem = Problem(closure, scales, columns, smooth, theta)
            return NormalSystem(products, theta, smooth, problem.pull), problem
        ridge = group["ridge"] + group["relative_ridge"] * loss
        penalty = Penalty(ridge, group["smoothness"], columns, list(layers))
        problem = Problem(closure, scales, columns, penalty, theta)
        if use_rows:
            return ResidualSystem(jacobian, theta, penalty), problem
        products = gram(jacobian, columns.count)
        return NormalSystem(products, theta, penalty, problem.pull), problem

    def strengths(self, layers: Sequence[KANLayer]) -> tuple[list[Tensor], int]:
        """See :func:`~kanlit.optim.strengths.read_strengths`."""
        return read_strengths(self, layers)

    def set_strengths(
        self, layers: Sequence[KANLayer], strengths: Sequence[Tensor], steps: int
    ) -> None:
        """See :func:`~kanlit.optim.strengths.write_strengths`."""
        write_strengths(self, layers, strengths, steps)

    def _damping(self, held: Sequence[Tensor]) -> tuple[float, float]:
        """The damping and its factor at the next rejected step.

        Every parameter stores a copy. A missing copy means that the grid of the parameter has
        changed, and damping restarts from the initial value.
        """
        states = [self.state.get(parameter) for parameter in held]
        if not all(state and "damping" in state for state in states):
            return self.param_groups[0]["damping"], _GROWTH
        first = states[0]
        assert first is not None
        return first["damping"], first["growth"]

    def _save_damping(self, held: Sequence[Tensor], damping: float, growth: float) -> None:
        damping = min(max(damping, _LEAST_DAMPING), _MOST_DAMPING)
        for parameter in held:
            # Plain numbers, because loading casts tensors to the dtype of the parameter.
            own = {"damping": damping, "growth": min(growth, _MOST_DAMPING)}
            self.state[parameter] = {**(self.state.get(parameter) or {}), **own}


def _matrices_memory(rows: int, columns: int, limit: float) -> float:
    """Size of the matrices of a step in GiB; raises if it exceeds the limit."""
    needed = 8 * (3 * rows**2 + (2 * rows * columns if rows != columns else 0)) / 2**30
    if needed > limit:
        raise ConfigurationError(
            f"LevenbergMarquardt would need {needed:.2g} GiB for {columns} parameters, more than "
            f"memory {limit:g}: use torch.optim.LBFGS or torch.optim.Adam, a smaller network, or "
            f"raise memory"
        )
    return needed
