"""Base class of the callbacks that train on a sequence of changed equations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from kanlit.adaptation import Trigger
from kanlit.adaptation.optimizer_state import forget
from kanlit.callbacks.cadence import Cadence
from kanlit.callbacks.distributed import unwrapped
from kanlit.callbacks.grid_adaptation import LEAST_FRACTION
from kanlit.callbacks.notices import log_scalars, notify, now, warn
from kanlit.callbacks.solver import equation_data, solver
from kanlit.callbacks.stage_plan import StagePlan, StageSchedule
from kanlit.callbacks.training_samples import TrainingSamples
from kanlit.data import EquationData
from kanlit.errors import ConfigurationError, DivergenceError, check_at_least
from kanlit.modules import PDEModule
from kanlit.problems import BoundaryValueProblem, Equation

__all__ = ["Stages"]

_FIRST_STEPS = 10  # after which the loss is measured once more than training does
_SAMPLES = 65536


class Stages(Callback, ABC):
    """Trains on changed copies of the equation, one per stage, and at last on the equation itself.

    At the start of a stage the module and the data get the changed equation, and training and
    validation points are built for it. ``val/loss`` is that of the stage, so callbacks that keep
    the best on validation start again; at the end it is the loss of the equation itself.

    A stage is rolled back if the loss explodes in it, also after an adaptation: the weights and
    grids from its start are restored, the optimizer starts afresh, and a stage halfway from the
    previous one is put before it, as long as the previous one was.

    Args:
        name: What changes, for messages.
        schedule: Values by epoch, from epoch 0 on, or a list of values, spread evenly over the run.
            The last value is that of the equation, or null. With a trigger, a list from which each
            firing takes the next value.
        trigger: Begins the next stage when it fires: PeriodicTrigger, PlateauTrigger, AnyTrigger,
            AllTrigger or your own subclass of Trigger.
        max_loss_growth: A stage is rolled back if the training loss is not finite, or exceeds the
            loss at its start by more than this factor, above 1. The loss at the start counts as at
            least 1e-4 times that of the untrained network.
        retries: How often in a row a stage may be rolled back before training ends.

    Raises:
        ConfigurationError: A setting is out of range. At the start of training: the equation has no
            such value, or the schedule does not fit the equation or the run.
        DivergenceError: In training: the loss explodes even after ``retries`` smaller steps.
    """

    def __init__(
        self,
        name: str,
        schedule: StageSchedule,
        trigger: Trigger | None = None,
        max_loss_growth: float = 100.0,
        retries: int = 3,
    ) -> None:
        if not max_loss_growth > 1:
            raise ConfigurationError(f"max_loss_growth must be above 1, got {max_loss_growth}")
        check_at_least("retries", retries, 0)
        self.name = name
        self.schedule = schedule
        self.max_loss_growth = max_loss_growth
        self.retries = retries
        self._cadence = None if trigger is None else Cadence([1], trigger, "epoch")
        self._forget()

    def _forget(self) -> None:
        self._plan: StagePlan | None = None
        self._kept: dict[str, Tensor] = {}  # the module's state at the start of the stage
        self._untrained = 0.0  # loss
        self._limit = math.inf  # of the loss in this stage
        self._watches = False  # whether this callback began the current stage
        self._checks = 0  # further steps whose loss is measured
        self._tries = 0  # how often in a row the stage was rolled back

    @property
    def _owner(self) -> str:
        return type(self).__name__

    @property
    def state_key(self) -> str:
        return f"{self._owner}({self.name})"

    @abstractmethod
    def own_value(self, equation: Equation) -> float:
        """The value of the equation itself.

        Raises:
            ConfigurationError: The equation has no such value.
        """

    @abstractmethod
    def changed(self, equation: Equation, value: float) -> Equation:
        """A copy of the equation with another value."""

    def schedule_for(self, equation: Equation) -> StageSchedule:
        """The schedule for this equation."""
        return self.schedule

    def check(self, equation: Equation, values: list[float]) -> None:
        """Raises a ``ConfigurationError`` if the equation cannot take the values."""
        for value in values:
            BoundaryValueProblem(self.changed(equation, value))

    # -- when -------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Called before a checkpoint is loaded. A trainer that has already stepped continues.
        if stage == "fit" and trainer.global_step == 0:
            self._forget()
            if self._cadence is not None:
                self._cadence.start_afresh()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = equation_data(trainer, self._owner)
        solver(pl_module, self._owner)
        own = self.own_value(data.equation)
        plan = StagePlan.from_schedule(
            self.schedule_for(data.equation),
            own,
            self.name,
            trainer.max_epochs,
            self._cadence is not None,
        )
        self.check(data.equation, plan.values)
        if self._plan is None:
            self._plan = plan

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._kept:
            self._untrained = self._loss(trainer, pl_module)
            self._begin(trainer, pl_module)
        else:  # resumed; the data module restores points that were drawn
            self._apply(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        plan, epoch = self._known_plan(), trainer.current_epoch
        due = plan.due(epoch)
        if self._cadence is not None:
            fires = self._cadence.due_at_epoch(trainer, pl_module) is not None
            due = fires and epoch > 0 and not plan.at_last
        if due:
            plan.index += 1
            self._tries = 0
            self._begin(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self._cadence is not None:
            self._cadence.observe(trainer, outputs)
        if not self._watches or self._known_plan().index == 0:
            return
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        if loss <= self._limit and self._checks > 0:
            self._checks -= 1
            with torch.no_grad():
                loss = float(solver(pl_module, self._owner).loss(batch))
        if trainer.strategy.reduce_boolean_decision(not loss <= self._limit, all=False):
            self._roll_back(trainer, pl_module, loss)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._cadence is not None and not trainer.sanity_checking:
            self._cadence.validated(trainer)

    def on_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, report: object
    ) -> None:
        """Called by :class:`~kanlit.GridAdaptationCallback`: the next steps may explode."""
        self._checks = _FIRST_STEPS

    def on_pruning(self, trainer: Trainer, pl_module: LightningModule, report: object) -> None:
        """Called by :class:`~kanlit.PruningCallback`: a roll-back keeps the smaller network."""
        self._keep(pl_module)

    def on_stage(self, trainer: Trainer, pl_module: LightningModule, stages: Stages) -> None:
        """Called at the start of each stage of all callbacks: the last to begin one watches."""
        self._watches = stages is self

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        plan, data = self._known_plan(), equation_data(trainer, self._owner)
        if not plan.at_last:
            warn(
                f"training ended at {self.name} {plan.value:g}, before the equation's own "
                f"{plan.values[-1]:g}",
                __file__,
            )
            data.use(self.changed(data.problem, plan.values[-1]))
            solver(pl_module, self._owner).problem = data.problem

    # -- what -------------------------------------------------------------------------------

    def _begin(self, trainer: Trainer, module: LightningModule) -> None:
        """Begins the current stage of the plan from the current weights."""
        self._keep(module)
        self._apply(trainer, module, redraw=True)
        self._announce(trainer, module)

    def _keep(self, module: LightningModule) -> None:
        self._kept = {k: v.detach().clone() for k, v in module.state_dict().items()}

    def _apply(self, trainer: Trainer, module: LightningModule, redraw: bool = False) -> None:
        """Gives the equation of the current stage to the module and the data."""
        data, plan = equation_data(trainer, self._owner), self._known_plan()
        own = solver(module, self._owner)
        data.use(self.current(data, own))
        own.problem = data.problem
        if redraw and plan.index > 0 and data.redraw is not None:
            own.redraw_points(data, trainer.current_epoch)

    def current(self, data: EquationData, module: PDEModule) -> Equation:
        """The equation of the current stage."""
        return self.changed(data.problem, self._known_plan().value)

    def described(self, plan: StagePlan) -> str:
        """The current stage in words."""
        return f"{self.name} {plan.value:g}, stage {plan.index + 1} of {len(plan.values)}"

    def _announce(self, trainer: Trainer, module: LightningModule) -> None:
        plan, loss = self._known_plan(), self._loss(trainer, module)
        self._limit = self.max_loss_growth * max(loss, LEAST_FRACTION * self._untrained)
        self._checks = _FIRST_STEPS
        module.print(f"epoch {trainer.current_epoch}: {self.described(plan)}, loss {loss:.3e}")
        log_scalars(trainer, {f"stage/{self.name}": plan.value})
        for callback in trainer.early_stopping_callbacks:
            callback.wait_count = 0
            callback.best_score = torch.tensor(math.inf if callback.mode == "min" else -math.inf)
        notify(trainer, module, "on_stage", self)

    def _roll_back(self, trainer: Trainer, module: LightningModule, loss: float) -> None:
        plan = self._known_plan()
        failed = f"{self.name} {plan.value:g} makes the loss explode ({loss:.1e})"
        self._tries += 1
        if self._tries > self.retries:
            raise DivergenceError(
                f"{failed} after {self.retries} smaller steps: take smaller steps in its schedule, "
                f"or stay longer at each value"
            )
        with unwrapped(trainer), torch.no_grad():
            module.load_state_dict(self._kept)
        for optimizer in trainer.optimizers:
            forget(optimizer)
        plan.retreat(trainer.current_epoch)
        last = 0 if plan.starts is None else plan.starts[-1]
        if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= last:
            raise DivergenceError(
                f"{failed}, and smaller steps would take until epoch {last}: raise "
                f"trainer.max_epochs, or take smaller steps in its schedule"
            )
        warn(
            f"{now(trainer)}: {failed}; it was rolled back, and {plan.value:g} comes first",
            __file__,
        )
        self._apply(trainer, module, redraw=True)
        self._announce(trainer, module)

    def _loss(self, trainer: Trainer, module: LightningModule) -> float:
        loss = TrainingSamples(trainer, module, _SAMPLES).loss()
        assert loss is not None  # a PDEModule has one
        return float(loss())

    def _known_plan(self) -> StagePlan:
        assert self._plan is not None  # since on_fit_start
        return self._plan

    # -- checkpoints ------------------------------------------------------------------------

    def _written_schedule(self) -> list[list[float | None]]:
        """The schedule as plain lists, to compare with that of a checkpoint."""
        if isinstance(self.schedule, dict):
            return [[epoch, self.schedule[epoch]] for epoch in sorted(self.schedule)]
        return [[value] for value in self.schedule]

    def state_dict(self) -> dict[str, Any]:
        return {
            "schedule": self._written_schedule(),
            "plan": {} if self._plan is None else self._plan.state_dict(),
            "kept": self._kept,
            "untrained": self._untrained,
            "limit": self._limit,
            "watches": self._watches,
            "checks": self._checks,
            "tries": self._tries,
            "cadence": None if self._cadence is None else self._cadence.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["schedule"] != self._written_schedule():
            raise ConfigurationError(
                f"the checkpoint was written with another schedule of {self.name}: resume with "
                f"that schedule, or start a new run from the weights"
            )
        if state_dict["plan"]:
            try:
                self._plan = StagePlan.from_state_dict(state_dict["plan"])
            except ValueError as error:
                raise ConfigurationError(
                    f"cannot resume {self.state_key} from the checkpoint ({error}): use another"
                ) from None
        self._kept = state_dict["kept"]
        self._untrained, self._limit = state_dict["untrained"], state_dict["limit"]
        self._watches, self._checks = state_dict["watches"], state_dict["checks"]
        self._tries = state_dict["tries"]
        if self._cadence is not None:
            self._cadence.load_state_dict(state_dict["cadence"])
