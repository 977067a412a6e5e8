"""Adapts and extends the grids of a network while it trains."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.utils.data import DataLoader

from kanlit.adaptation import (
    AdaptationReport,
    CurvatureDensity,
    Extension,
    ImportanceDensity,
    Placement,
    Refit,
    adapt_grids,
    kan_layers,
)
from kanlit.adaptation.schedule import check_schedule, spread
from kanlit.callbacks.optimizer_state import OptimizerState, update_optimizer_state
from kanlit.errors import ConfigurationError

__all__ = ["GridAdaptable", "GridAdaptationCallback"]


@runtime_checkable
class GridAdaptable(Protocol):
    """What the callback can use of a LightningModule that holds KAN layers.

    A module without these is adapted all the same: its network is then the module itself, and
    its inputs are the batch or the batch's first element. ``loss(batch)``, where a module has
    it, gives the loss before and after; ``sample_losses(batch)`` serves densities that use it.
    """

    network: nn.Module

    def adaptation_inputs(self, batch: Any) -> Tensor:
        """What the network sees of a batch, ``(n, in)``."""
        ...


class GridAdaptationCallback(Callback):
    """Places the knots of every KAN layer anew by an importance density, and adds to them.

    At each epoch (or step) of the schedule the layers are adapted from the first to the last:
    samples are weighed by the density, knots placed at weighted quantiles, coefficients fitted
    again, G raised to what the schedule says. The optimiser and its scheduler go on. Each
    adaptation is one line in the log; other callbacks that have a method
    ``on_grid_adaptation(trainer, module, report)`` are told. One that fails is undone whole with
    a warning, and training goes on.

    Args:
        density: Importance density of the samples: InputDensity, CurvatureDensity or a subclass
            of ImportanceDensity of one's own.
        schedule: Grid sizes by epoch, {0: 3, 500: 6}, or a list of them spread evenly over the
            run. Adapts at each entry, also where G stays.
        interval: Whether the schedule counts epochs or optimiser steps.
        uniform_mix: Share e, 0 to 1, of uniform breakpoints blended into the weighted quantiles;
            no interval is then narrower than e times the uniform one.
        least_gap: Least width of an interval as a share of the uniform one, above 0 to 1.
        margin: How far a grid reaches past the samples at each end, as a share of their range.
        extension: How G grows: replace places all knots anew; insert keeps the old ones and
            their ends and adds to them, which leaves the network's function exactly as it is.
        refit: How coefficients are fitted again: projection (L2 over the span, free of data) or
            samples (least squares on the samples, as published).
        optimizer_state: What becomes of the optimiser's moments: keep carries them over to the
            new bases, reset_changed drops those of the splines, reset_all drops all.
        max_samples: So many training samples at most are used to place knots.

    Raises:
        ConfigurationError: A setting out of its range; at the start of training, a module
            without KAN layers, a density that cannot work on it, an epoch beyond the run.

    Source: arXiv 2601.18672.
    """

    def __init__(
        self,
        density: ImportanceDensity | None = None,
        schedule: dict[int, int] | list[int] | None = None,
        interval: Literal["epoch", "step"] = "epoch",
        uniform_mix: float = 0.2,
        least_gap: float = 0.01,
        margin: float = 0.01,
        extension: Extension = "replace",
        refit: Refit = "projection",
        optimizer_state: OptimizerState = "reset_changed",
        max_samples: int = 65536,
    ) -> None:
        self.density = CurvatureDensity() if density is None else density
        self.schedule = [3, 6, 9, 12] if schedule is None else schedule
        check_schedule(self.schedule)
        if not 0 <= uniform_mix <= 1:
            raise ConfigurationError(f"uniform_mix must lie in 0 to 1, got {uniform_mix}: try 0.2")
        if not 0 < least_gap <= 1:
            raise ConfigurationError(
                f"least_gap must be above 0 and at most 1, got {least_gap}: try 0.01"
            )
        if not 0 <= margin < math.inf:
            raise ConfigurationError(f"margin must be at least 0, got {margin}: try 0.01")
        for name, value, choices in (
            ("interval", interval, ("epoch", "step")),
            ("extension", extension, get_args(Extension)),
            ("refit", refit, get_args(Refit)),
            ("optimizer_state", optimizer_state, get_args(OptimizerState)),
        ):
            if value not in choices:
                raise ConfigurationError(
                    f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}"
                )
        if max_samples < 1:
            raise ConfigurationError(f"max_samples must be at least 1, got {max_samples}")
        self.interval = interval
        self.placement = Placement(uniform_mix, least_gap, margin, extension, refit)
        self.optimizer_state: OptimizerState = optimizer_state
        self.max_samples = max_samples
        self._wanted: dict[int, int] = {}
        self._adapted_at = -1

    # -- when -------------------------------------------------------------------------------

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        layers = kan_layers(_network(pl_module))
        if not layers:
            raise ConfigurationError(
                f"{type(pl_module).__name__} holds no KANLayer, so there is no grid to adapt: "
                f"build it of kanlit.nn.KAN or leave the adaptation callback out"
            )
        self.density.check(_network(pl_module))
        total = trainer.max_epochs if self.interval == "epoch" else _steps(trainer)
        self._wanted = self._resolve(total)
        self._adapted_at = -1

    def _resolve(self, total: int | None) -> dict[int, int]:
        """The schedule as ``{epoch or step: G}`` of a run of ``total`` of them."""
        known = total is not None and total >= 0
        word = f"max_{self.interval}s"
        if isinstance(self.schedule, dict):
            latest = max(self.schedule)
            if known and total is not None and latest >= total:
                raise ConfigurationError(
                    f"schedule names {self.interval} {latest}, but {word} is {total}: raise "
                    f"--trainer.{word} or lower the schedule"
                )
            return dict(self.schedule)
        if not known or total is None:
            raise ConfigurationError(
                f"a list schedule is spread over the run, but {word} is not set: set "
                f"--trainer.{word} or write the schedule as {{{self.interval}: G}}"
            )
        return spread(self.schedule, total)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.interval == "epoch" and trainer.current_epoch in self._wanted:
            self.adapt(trainer, pl_module, self._wanted[trainer.current_epoch])

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        # With gradients accumulated over batches the same step begins more than once.
        if self.interval == "step" and step in self._wanted and step != self._adapted_at:
            self._adapted_at = step
            self.adapt(trainer, pl_module, self._wanted[step])

    # -- what -------------------------------------------------------------------------------

    def adapt(
        self, trainer: Trainer, pl_module: LightningModule, grid_size: int | None = None
    ) -> AdaptationReport | None:
        """Adapts the module's grids now; ``None`` if that failed and was undone.

        Args:
            trainer: Its training data are the samples, its optimisers follow.
            pl_module: The module.
            grid_size: G afterwards; left out, each layer keeps its own.
        """
        network = _network(pl_module)
        batches = list(self._batches(trainer, pl_module))
        inputs = torch.cat([_inputs(pl_module, batch) for batch in batches])[: self.max_samples]
        evaluate = _of_batch(pl_module, "loss")
        losses = _of_batch(pl_module, "sample_losses")
        sizes = {name: layer.grid_size for name, layer in kan_layers(network).items()}
        try:
            with torch.no_grad():
                report = adapt_grids(
                    network,
                    inputs.detach(),
                    self.density,
                    grid_size,
                    placement=self.placement,
                    sample_losses=torch.cat([losses(b) for b in batches])[: self.max_samples]
                    if losses
                    else None,
                    loss=(lambda: torch.stack([evaluate(b) for b in batches]).mean())
                    if evaluate
                    else None,
                )
        except ConfigurationError:
            raise  # the density lacks something; that is for the user to mend
        except (ValueError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
            rank_zero_warn(
                f"grid adaptation at epoch {trainer.current_epoch} was undone, training goes on "
                f"with the old knots: {error}"
            )
            return None
        for optimizer in trainer.optimizers:
            update_optimizer_state(
                optimizer, kan_layers(network), report, sizes, self.optimizer_state
            )
        pl_module.print(_line(trainer, report))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            told = getattr(callback, "on_grid_adaptation", None)
            if told is not None:
                told(trainer, pl_module, report)
        return report

    def _batches(self, trainer: Trainer, pl_module: LightningModule) -> Iterable[Any]:
        """Training batches on the module's device, enough for ``max_samples``."""
        count = 0
        with _unnoticed(trainer.train_dataloader) as loader:
            for batch in loader or ():
                moved = trainer.strategy.batch_to_device(
                    trainer.precision_plugin.convert_input(batch)
                )
                yield moved
                count += _inputs(pl_module, moved).shape[0]
                if count >= self.max_samples:
                    return


def _network(module: LightningModule) -> nn.Module:
    """The network inside a module; the module itself where it names none."""
    network: nn.Module = module.network if isinstance(module, GridAdaptable) else module
    # A compiled network is adapted through the module it was made from.
    return getattr(network, "_orig_mod", network)


def _of_batch(module: LightningModule, name: str) -> Callable[[Any], Tensor] | None:
    """The module's method of that name if it takes a batch alone.

    ``self.loss = nn.MSELoss()`` and ``def loss(self, prediction, target)`` do not.
    """
    method = getattr(module, name, None)
    if not inspect.ismethod(method):
        return None
    try:
        inspect.signature(method).bind(None)
    except TypeError:
        return None
    return method


@contextmanager
def _unnoticed(loader: Any) -> Iterator[Any]:
    """Lets a loader be read once more without training noticing.

    A DataLoader draws from the global generator or its own when it starts, and one whose workers
    persist has a single iterator, which training may hold at this moment.
    """
    sampler = getattr(loader, "sampler", None)
    own = (getattr(loader, "generator", None), getattr(sampler, "generator", None))
    states = [(g, g.get_state()) for g in own if isinstance(g, torch.Generator)]
    if isinstance(loader, DataLoader) and loader.persistent_workers:
        loader = copy.copy(loader)
        loader._iterator = None
    try:
        with torch.random.fork_rng(devices=[]):
            yield loader
    finally:
        for generator, state in states:
            generator.set_state(state)


def _inputs(module: LightningModule, batch: Any) -> Tensor:
    """The network's inputs in a batch."""
    if isinstance(module, GridAdaptable):
        return module.adaptation_inputs(batch)
    first = batch[0] if isinstance(batch, (tuple, list)) else batch
    if not isinstance(first, Tensor):
        raise ConfigurationError(
            f"cannot tell the network's inputs in a batch of type {type(batch).__name__}: give "
            f"{type(module).__name__} a method adaptation_inputs(batch) and an attribute network"
        )
    return first


def _steps(trainer: Trainer) -> int | None:
    steps = trainer.estimated_stepping_batches
    return int(steps) if math.isfinite(steps) else None


def _line(trainer: Trainer, report: AdaptationReport) -> str:
    """One line for the log."""
    if report.loss_before is None:
        change = "loss not measured (the module has no loss(batch))"
    else:
        change = f"loss {report.loss_before:.3e} -> {report.loss_after:.3e}"
    return (
        f"epoch {trainer.current_epoch}: grids adapted, G = {report.grid_size}, refit error "
        f"{report.refit_error:.1e}, {change}, {report.seconds * 1e3:.0f} ms"
    )
