"""Decides when the grids of a run are adapted, and to which G."""

from __future__ import annotations

import copy
import math
from typing import Any, Literal, get_args

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from kanlit.adaptation import Observation, Trigger, check_schedule, spread
from kanlit.errors import ConfigurationError

__all__ = ["Cadence", "Interval"]

Interval = Literal["epoch", "step"]


class Cadence:
    """Decides at each epoch (or step) whether to adapt; all ranks decide the same.

    Args:
        schedule: Grid sizes by epoch (or step), or a list of sizes spread evenly over the run; []
            for no adaptation. With a trigger, a list from which each firing takes the next size.
        trigger: Fires when the grids should be adapted; None follows the schedule.
        interval: Whether epochs or optimizer steps are counted.
        final_adaptations: Number of adaptations after the schedule's last G; when the trigger fires
            again, training ends. None does not end training.

    Raises:
        ConfigurationError: An invalid schedule, or a schedule with epochs together with a trigger;
            an unknown interval; ``final_adaptations`` below 0 or without a trigger.
    """

    def __init__(
        self,
        schedule: dict[int, int] | list[int],
        trigger: Trigger | None,
        interval: Interval,
        final_adaptations: int | None = None,
    ) -> None:
        if schedule != [] or trigger is not None:
            check_schedule(schedule)
        if interval not in get_args(Interval):
            raise ConfigurationError(f"interval must be 'epoch' or 'step', got {interval!r}")
        if trigger is not None and isinstance(schedule, dict):
            raise ConfigurationError(
                "schedule sets the epochs, but with a trigger the trigger chooses them: write the "
                "schedule as a list of grid sizes, or remove the trigger"
            )
        if final_adaptations is not None and (final_adaptations < 0 or trigger is None):
            raise ConfigurationError(
                f"final_adaptations must be at least 0 and needs a trigger, got "
                f"{final_adaptations} and {_kind(trigger)}: add a trigger or remove it"
            )
        self.schedule = schedule
        self.trigger = trigger
        self.interval = interval
        self.final_adaptations = final_adaptations
        self._wanted: dict[int, int] = {}
        self._untouched = None if trigger is None else copy.deepcopy(trigger.state_dict())
        self._forget()

    def _forget(self) -> None:
        self._asked_at = -1
        self._taken = 0  # number of sizes that the trigger's firings have used
        self._reached = 0  # G of the last adaptation
        self._loss_sum: float | torch.Tensor = 0.0
        self._loss_count = 0
        self._metrics: dict[str, float] = {}  # of validation, since the last observation

    def start_afresh(self) -> None:
        """Resets the state for a new run."""
        self._forget()
        if self.trigger is not None and self._untouched is not None:
            self.trigger.load_state_dict(copy.deepcopy(self._untouched))

    def begin(self, trainer: Trainer) -> None:
        """Spreads a list schedule over the length of the run.

        Raises:
            ConfigurationError: The run ends before the schedule does, or a list schedule is given
                and the run has no fixed length.
        """
        if self.trigger is None:
            total = trainer.max_epochs if self.interval == "epoch" else _steps(trainer)
            self._wanted = self._resolve(total)

    def _resolve(self, total: int | None) -> dict[int, int]:
        """The schedule as ``{epoch or step: G}`` for a run of ``total`` epochs or steps."""
        if self.schedule == []:
            return {}
        known = total is not None and total >= 0
        word = f"max_{self.interval}s"
        if isinstance(self.schedule, dict):
            latest = max(self.schedule)
            if known and total is not None and latest >= total:
                raise ConfigurationError(
                    f"schedule names {self.interval} {latest}, but {word} is {total}: raise "
                    f"trainer.{word} or lower the schedule"
                )
            return dict(self.schedule)
        if not known or total is None:
            raise ConfigurationError(
                f"a list schedule is spread over the run, but {word} is not set: set "
                f"trainer.{word} or write the schedule as {{{self.interval}: G}}"
            )
        return spread(self.schedule, total)

    def due_at_epoch(self, trainer: Trainer, module: LightningModule) -> int | None:
        """G to adapt to before this epoch begins, or ``None``."""
        if self.interval != "epoch":
            return None
        return self._due(trainer, module, trainer.current_epoch)

    def due_at_step(self, trainer: Trainer, module: LightningModule) -> int | None:
        """G to adapt to before this step begins, or ``None``."""
        # With accumulated gradients, several batches belong to the same step.
        if self.interval != "step" or trainer.global_step == self._asked_at:
            return None
        self._asked_at = trainer.global_step
        return self._due(trainer, module, trainer.global_step)

    def _due(self, trainer: Trainer, module: LightningModule, time: int) -> int | None:
        if self.trigger is None:
            size = self._wanted.get(time)
            # A list is spread again over a resumed run that is longer.
            return None if size is None else max(size, self._reached)
        loss = float(self._loss_sum) / self._loss_count if self._loss_count else None
        self._loss_sum, self._loss_count = 0.0, 0
        if loss is not None and trainer.world_size > 1:
            shared = torch.tensor(loss, dtype=torch.float64, device=module.device)
            loss = float(trainer.strategy.reduce(shared, reduce_op="mean"))
        metrics, self._metrics = self._metrics, {}
        fires = self.trigger.fires(Observation(time, loss, metrics))
        if not trainer.strategy.reduce_boolean_decision(fires, all=False):
            return None
        sizes = list(self.schedule)
        final = self.final_adaptations
        if final is not None and self._taken >= len(sizes) + final:
            trainer.should_stop = True
            return None
        return sizes[min(self._taken, len(sizes) - 1)]

    def adapted(self, grid_size: int) -> None:
        """Records that the adaptation succeeded; one that was rolled back does not use its G."""
        self._taken += self.trigger is not None
        self._reached = grid_size

    def observe(self, trainer: Trainer, outputs: Any) -> None:
        """Records the loss of a training step, for triggers."""
        if self.trigger is None:
            return
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if isinstance(loss, torch.Tensor):
            # Lightning has divided the loss by the number of accumulated batches. It stays on its
            # device, to avoid a synchronization.
            self._loss_sum = (
                self._loss_sum + loss.detach().double() * trainer.accumulate_grad_batches
            )
            self._loss_count += 1

    def validated(self, trainer: Trainer) -> None:
        """Records the validation metrics, for triggers."""
        if self.trigger is not None:
            self._metrics = {name: float(v) for name, v in trainer.callback_metrics.items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "trigger": None if self.trigger is None else self.trigger.state_dict(),
            "trigger_class": _kind(self.trigger),
            "taken": self._taken,
            "reached": self._reached,
            "asked_at": self._asked_at,
            "loss": [float(self._loss_sum), self._loss_count],
            "metrics": dict(self._metrics),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        own, kept = _kind(self.trigger), state["trigger_class"]
        if own != kept:
            rank_zero_warn(
                f"the checkpoint was written with {kept}, but this run has {own}, which starts "
                f"from its initial state"
            )
        elif self.trigger is not None:
            self.trigger.load_state_dict(state["trigger"])
        self._taken = state["taken"]
        self._reached = state["reached"]
        self._asked_at = state["asked_at"]
        self._loss_sum, self._loss_count = state["loss"]
        self._metrics = dict(state["metrics"])
        if not all(isinstance(value, float) for value in self._metrics.values()):
            raise ConfigurationError(f"metrics of a trigger must be numbers, got {self._metrics}")


def _kind(trigger: Trigger | None) -> str:
    return "a schedule" if trigger is None else type(trigger).__qualname__


def _steps(trainer: Trainer) -> int | None:
    steps = trainer.estimated_stepping_batches
    return int(steps) if math.isfinite(steps) else None
