"""Adapts and extends the grids of a network during training."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from kanlit.adaptation import (
    AdaptationReport,
    BlendedDensity,
    Extension,
    HealthWatch,
    ImportanceDensity,
    OptimizerState,
    Placement,
    Refit,
    Trigger,
    adapt_grids,
    check_adaptable,
    kan_layers,
)
from kanlit.adaptation.optimizer_state import check_policy
from kanlit.callbacks.cadence import Cadence, Interval
from kanlit.callbacks.distributed import broadcast_grids, unwrapped
from kanlit.callbacks.notices import log_scalars, notify, now, refuse_averaging, warn
from kanlit.callbacks.training_samples import TrainingSamples, evaluating, network_of
from kanlit.errors import ConfigurationError, check_at_least

__all__ = ["GridAdaptationCallback"]

LEAST_FRACTION = 1e-4
RISES = "the loss rises as curves are refitted on new knots; training lowers it again"
_RISE = 2.0  # factor from which a rise of the loss is explained
_SAMPLES_TO_CHECK = 8


class GridAdaptationCallback(Callback):
    """Moves the knots of every KAN layer by an importance density, and adds knots.

    At each epoch (or step) of the schedule the layers are adapted from the first to the last: the
    density weighs the samples, the knots are placed at weighted quantiles, G is raised to the
    scheduled value, and the coefficients are refitted. The optimizer and its scheduler are kept.
    Each adaptation logs one line. An adaptation that fails, or that raises the loss too far, is
    rolled back with a warning, and training continues. Other callbacks may define the hooks
    ``before_grid_adaptation(trainer, module, grid_size)``,
    ``on_grid_adaptation(trainer, module, report)`` and
    ``on_grid_adaptation_failure(trainer, module, report)``.

    It works on any LightningModule with KAN layers, also behind convolutions or in a transformer;
    see :class:`~kanlit.callbacks.training_samples.GridAdaptable`.

    Args:
        density: Importance density of the samples: InputDensity, CurvatureDensity,
            GradientDensity, LossDensity, ErrorDensity, DeBoorDensity, a BlendedDensity of several,
            or your own subclass of ImportanceDensity.
        schedule: Grid sizes by epoch, such as {0: 3, 500: 6}, or a list of sizes spread evenly over
            the run, in a longer resumed run again, where G never falls. The grids are adapted at
            each entry, even if G stays the same; [] never adapts them. With a trigger, a list from
            which each firing takes the next size; after the last, G stays.
        trigger: Adapts when it fires instead of at fixed epochs: PeriodicTrigger, PlateauTrigger,
            AnyTrigger, AllTrigger or your own subclass of Trigger.
        interval: Whether the schedule counts epochs or optimizer steps.
        final_adaptations: With a trigger, number of adaptations after the last G; when the trigger
            fires again, training ends. Null does not end training.
        uniform_mix: Weight e, 0 to 1, of uniform breakpoints blended into the weighted quantiles;
            no interval is then narrower than e times the uniform width.
        least_gap: Least width of an interval as a fraction of the uniform width, above 0 to 1.
        margin: How far a grid extends beyond the samples at each end, as a fraction of their range.
        extension: How G grows: replace moves all knots; insert keeps the old knots and adds new
            ones, which leaves the network's function unchanged.
        refit: How coefficients are refitted: projection (L2 projection over the grid, without
            data) or samples (least squares on the samples, as in arXiv 2601.18672).
        optimizer_state: How the optimizer state follows: keep remaps the moments to the new basis
            functions, reset_changed resets those of the coefficients, reset_all resets all.
        max_samples: Largest number of training samples used to place knots. They pass through the
            network in one batch, so lower it for large samples such as images.
        max_loss_growth: An adaptation that multiplies the training loss by more than this factor,
            above 1, is rolled back; an extension is first repeated with inserted knots. The loss
            before the adaptation counts as at least 1e-4 times that of the untrained network, since
            any adaptation adds a small absolute error.
        insert_above: If replaced knots multiply the training loss by more than this factor, such as
            1.01, the extension is repeated with inserted knots, which keep the loss; at least 1.
            Use it if the loss must not jump. Replaced knots cost more at first but usually end
            with a lower loss. Null never inserts.

    Attributes:
        undone: Number of adaptations that were rolled back.
        inserted: Number of extensions that were repeated with inserted knots.

    Raises:
        ConfigurationError: A setting is out of range. At the start of training: the module has no
            KAN layers, or its forward does not accept the batch's inputs; the density cannot work
            on it; the schedule names an epoch beyond the run.

    Source: arXiv 2601.18672.
    """

    def __init__(
        self,
        density: ImportanceDensity | None = None,
        schedule: dict[int, int] | list[int] | None = None,
        trigger: Trigger | None = None,
        interval: Interval = "epoch",
        final_adaptations: int | None = None,
        uniform_mix: float = 0.2,
        least_gap: float = 0.01,
        margin: float = 0.01,
        extension: Extension = "replace",
        refit: Refit = "projection",
        optimizer_state: OptimizerState = "reset_changed",
        max_samples: int = 65536,
        max_loss_growth: float = 1e4,
        insert_above: float | None = None,
    ) -> None:
        self.density = BlendedDensity() if density is None else density
        self.placement = Placement(uniform_mix, least_gap, margin, extension, refit)
        check_policy(optimizer_state)
        check_at_least("max_samples", max_samples, 1)
        if not max_loss_growth > 1:
            raise ConfigurationError(f"max_loss_growth must be above 1, got {max_loss_growth}")
        if insert_above is not None and not 1 <= insert_above < math.inf:
            raise ConfigurationError(
                f"insert_above must be at least 1 and finite, got {insert_above}: try 1.01, or null"
            )
        self.optimizer_state: OptimizerState = optimizer_state
        self.max_samples = max_samples
        self.max_loss_growth = max_loss_growth
        self.insert_above = insert_above
        self.undone = self.inserted = 0
        self._cadence = Cadence(
            [3, 6, 9, 12] if schedule is None else schedule, trigger, interval, final_adaptations
        )
        self._watch = HealthWatch()
        self._explained = False

    # -- when -------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Called before a checkpoint is loaded. A trainer that has already stepped continues.
        if stage == "fit" and trainer.global_step == 0:
            self.undone = self.inserted = 0
            self._cadence.start_afresh()
            self._watch = HealthWatch()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network = network_of(pl_module)
        layers = kan_layers(network)
        if not layers:
            raise ConfigurationError(
                f"{type(pl_module).__name__} has no KANLayer, so there is no grid to adapt: build "
                f"it with kanlit.nn.KAN or remove the adaptation callback"
            )
        refuse_averaging(trainer, "coefficients that belong to different knots once grids adapt")
        for name, layer in layers.items():
            if layer.knots.dtype not in (torch.float32, torch.float64):
                raise ConfigurationError(
                    f"splines need float32 or float64, but the knots of {name} are "
                    f"{layer.knots.dtype}: set trainer.precision to 32-true, 64-true or bf16-mixed"
                )
        self.density.check(network)
        self._cadence.begin(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Batches are available only now. A module that no adaptation can work with is refused
        # here, instead of rolling back every adaptation.
        samples = TrainingSamples(trainer, pl_module, _SAMPLES_TO_CHECK)
        with evaluating(pl_module):
            check_adaptable(
                network_of(pl_module), samples.inputs(), self.density, samples.sample_losses()
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._adapt_to(self._cadence.due_at_epoch(trainer, pl_module), trainer, pl_module)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._adapt_to(self._cadence.due_at_step(trainer, pl_module), trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._cadence.observe(trainer, outputs)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._cadence.validated(trainer)

    def _adapt_to(
        self, grid_size: int | None, trainer: Trainer, pl_module: LightningModule
    ) -> None:
        if grid_size is not None and self.adapt(trainer, pl_module, grid_size).failure is None:
            self._cadence.adapted(grid_size)

    # -- what -------------------------------------------------------------------------------

    def adapt(
        self, trainer: Trainer, pl_module: LightningModule, grid_size: int | None = None
    ) -> AdaptationReport:
        """Adapts the module's grids now.

        Args:
            trainer: Provides the training samples and the optimizers.
            pl_module: The module.
            grid_size: G after the adaptation; None keeps each layer's G.

        Returns:
            A report, whose ``failure`` is not None if the adaptation was rolled back.
        """
        start = time.perf_counter()
        notify(trainer, pl_module, "before_grid_adaptation", grid_size)
        network = network_of(pl_module)
        samples = TrainingSamples(trainer, pl_module, self.max_samples)
        sample_losses = samples.sample_losses()
        try:
            with unwrapped(trainer):
                report = adapt_grids(
                    network,
                    samples.inputs(),
                    self.density,
                    grid_size,
                    optimizer=trainer.optimizers,
                    optimizer_state=self.optimizer_state,
                    placement=self.placement,
                    sample_losses=sample_losses,
                    loss=samples.loss(),
                    max_loss_growth=self.max_loss_growth,
                    least_loss=LEAST_FRACTION * (self._watch.untrained or 0.0),
                    insert_above=math.inf if self.insert_above is None else self.insert_above,
                )
                broadcast_grids(trainer, network)
        except ConfigurationError:
            raise  # the density cannot work with this module: an error for the user
        except (ValueError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
            largest = max(layer.grid_size for layer in kan_layers(network).values())
            report = AdaptationReport((), largest, 0.0, 0.0, failure=str(error))
        report = replace(report, seconds=time.perf_counter() - start)
        if report.failure is None:
            self._adapted(trainer, pl_module, report, sample_losses)
        else:
            self._rolled_back(trainer, pl_module, report)
        return report

    def _rolled_back(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> None:
        self.undone += 1
        warn(
            f"grid adaptation at {now(trainer)} was rolled back, training continues with the old "
            f"knots: {report.failure}",
            __file__,
        )
        log_scalars(trainer, {"grid/undone": float(self.undone)})
        notify(trainer, pl_module, "on_grid_adaptation_failure", report)

    def _adapted(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        report: AdaptationReport,
        sample_losses: Tensor | None,
    ) -> None:
        if report.loss_replaced is not None:
            self.inserted += 1
            log_scalars(trainer, {"grid/inserted": float(self.inserted)})
        pl_module.print(f"epoch {trainer.current_epoch}: {report.summary}")
        before, after = report.loss_before, report.loss_after
        if not self._explained and before and after and after > _RISE * before:
            self._explained = True
            pl_module.print(RISES)
        step, uniform = trainer.global_step, self.density.uniform
        for found in self._watch.check(report, step, sample_losses, uniform):
            warn(f"{now(trainer)}: {found}", __file__)
        notify(trainer, pl_module, "on_grid_adaptation", report)

    # -- checkpoints ------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "density": self.density.state_dict(),
            **self._cadence.state_dict(),
            "undone": self.undone,
            "inserted": self.inserted,
            "watch": self._watch.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.density.load_state_dict(state_dict["density"])
        self._cadence.load_state_dict(state_dict)
        self.undone = state_dict["undone"]
        self.inserted = state_dict["inserted"]
        self._watch.load_state_dict(state_dict["watch"])
