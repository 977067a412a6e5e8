"""Divides the time axis into windows with a network each."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from kanlit.adaptation.optimizer_state import forget
from kanlit.callbacks.growing_end import GrowingEnd
from kanlit.callbacks.notices import notify, warn
from kanlit.callbacks.solver import equation_data, solver
from kanlit.callbacks.stage_plan import StagePlan, StageSchedule
from kanlit.callbacks.stages import Stages
from kanlit.data import EquationData
from kanlit.errors import ConfigurationError, check_at_least
from kanlit.modules import PDEModule
from kanlit.modules.solution import TIME
from kanlit.problems import BoundaryValueProblem, Equation
from kanlit.problems.equation_domain import domain_of
from kanlit.problems.window import on_window, tied

__all__ = ["TimeWindows"]


class TimeWindows(GrowingEnd):
    """Trains a network for each window of the time t, one after the other.

    For solutions over long times. Each window's network starts from the weights and grids of the
    last (the best of them, with KeepBest) and sees t scaled to its window. The conditions at the
    start of t are replaced by the last network's values at the end of its window, and by its
    derivatives in t below the highest in the equation. They are part of the loss, with the weights
    of those that they replace, also where an ansatz satisfies the first ones exactly. Tests,
    predictions and exports are of all windows as one. See :class:`~kanlit.callbacks.Stages` for
    what happens at the start of a window; one that is rolled back is divided into two halves.

    Args:
        windows: Number of equal windows, with the epochs divided evenly; or their ends by epoch,
            from epoch 0 on, such as {0: 0.2, 30: 0.4, 60: null}, or a list of ends. They rise, and
            the last is the end of the equation's domain; null stands for it.
        **kwargs: The other arguments are those of :class:`~kanlit.callbacks.Stages`.

    Raises:
        ConfigurationError: A setting is out of range. At the start of training: the equation has no
            t, or no derivative in it, or a condition at its end; the windows do not fit its bounds
            or the run; there is also a Continuation or a Horizon.
        DivergenceError: In training: the loss explodes even after ``retries`` halvings.
    """

    def __init__(
        self,
        windows: int | dict[int, float | None] | list[float | None] = 10,
        **kwargs: Any,
    ) -> None:
        self.count = windows if isinstance(windows, int) else None
        if isinstance(windows, int):
            check_at_least("windows", windows, 2)
            windows = [windows]  # as written in checkpoints
        super().__init__(TIME, windows, **kwargs)

    def schedule_for(self, equation: Equation) -> StageSchedule:
        if self.count is None:
            return self.schedule
        low, high = domain_of(equation).bounds[self.axis(equation)]
        inner = [low + (high - low) * k / self.count for k in range(1, self.count)]
        return [*inner, None]

    def check(self, equation: Equation, values: list[float]) -> None:
        super().check(equation, values)
        axis, name = self.axis(equation), type(equation).__name__
        problem = BoundaryValueProblem(equation)
        steady = [each for each, names in equation.fields.items() if TIME not in names]
        if steady := [*problem.coefficients, *steady]:
            raise ConfigurationError(
                f"{name} has unknown coefficients or fields ({', '.join(steady)}), which are the "
                f"same at all times, but each window would find its own: remove TimeWindows"
            )
        if problem.form.column_of(axis) is None:
            raise ConfigurationError(
                f"the network of {name} has no input {TIME}, so {TIME} cannot be divided into "
                f"windows: add {TIME} to its inputs, or remove TimeWindows"
            )
        if not any(problem.orders_in(axis)):
            raise ConfigurationError(
                f"{name} has no derivative in {TIME}, so windows cannot follow one another: "
                f"remove TimeWindows"
            )
        starts = [each for each in problem.exact if (axis, 0) in problem.faces[each]]
        if starts:
            rank_zero_info(
                f"{', '.join(starts)}: exact in the first window only; later ones are tied to the "
                f"last by residuals"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Stages) and callback is not self:
                raise ConfigurationError(
                    f"TimeWindows and {type(callback).__name__} cannot be combined: remove one"
                )
        super().on_fit_start(trainer, pl_module)

    def current(self, data: EquationData, module: PDEModule) -> Equation:
        plan, equation = self._known_plan(), data.equation
        axis = self.axis(equation)
        low = (
            domain_of(equation).bounds[axis][0] if plan.index == 0 else plan.values[plan.index - 1]
        )
        module.begin_window(plan.index, float(low), plan.value)
        conditions = equation.conditions()
        if plan.index > 0:
            conditions = tied(BoundaryValueProblem(equation), axis, module.value_before)
        return on_window(equation, axis, low, plan.value, conditions)

    def described(self, plan: StagePlan) -> str:
        start = "" if plan.index == 0 else f"from {plan.values[plan.index - 1]:g} "
        return f"{TIME} {start}to {plan.value:g}, window {plan.index + 1} of {len(plan.values)}"

    def _begin(self, trainer: Trainer, module: LightningModule) -> None:
        if self._known_plan().index > 0:
            notify(trainer, module, "before_window")
            for optimizer in trainer.optimizers:
                forget(optimizer)
        super()._begin(trainer, module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        plan, data = self._known_plan(), equation_data(trainer, type(self).__name__)
        if not plan.at_last:
            warn(
                f"training ended in window {plan.index + 1} of {len(plan.values)}: after {TIME} "
                f"{plan.value:g} the solution is extrapolated",
                __file__,
            )
        data.use(data.equation)
        solver(pl_module, type(self).__name__).problem = data.problem
