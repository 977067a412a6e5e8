"""Shows each grid adaptation and the trained network: pictures, histograms and scalars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_warn
from matplotlib.figure import Figure
from torch import nn

from kanlit.adaptation import (
    AdaptationReport,
    KnotHistory,
    KnotRecord,
    grid_health,
    kan_layers,
)
from kanlit.callbacks.figure_log import log_figure
from kanlit.callbacks.run_figures import (
    error_picture,
    knot_migration_picture,
    layer_pictures,
    names_of,
)
from kanlit.callbacks.slices import slice_curve
from kanlit.callbacks.training_samples import network_of
from kanlit.errors import ConfigurationError
from kanlit.nn import PruningReport
from kanlit.plotting import knot_figure
from kanlit.problems.functions.target import TargetFunction

__all__ = ["KnotPlotCallback"]


class KnotPlotCallback(Callback):
    """Draws every grid adaptation of a run and its trained network, in TensorBoard or as PNG files.

    Loggers with figures (TensorBoard) get the picture under the tag ``knots``, so that its
    slider steps through the adaptations, and a histogram of each layer's breakpoints under
    ``knots/LAYER``. For the others ``knots_step=000500.png`` is written into the run's folder,
    where its ``checkpoints`` folder is. All get the scalars ``grid/size`` (G),
    ``grid/parameters`` (trainable ones), ``grid/refit_error``, ``grid/out_of_range`` (the
    largest share, 0 to 1, of a layer's inputs outside its old grid), and the worst layer's
    ``grid/effective_samples``, ``grid/edge_coverage`` and ``grid/displacement``
    (:class:`kanlit.adaptation.GridHealth`).

    At the end of training come ``network`` (the network as a graph), ``curves`` (its edge
    functions), ``error_map`` (where the data module knows the function, or has a test share of
    inputs and targets) and ``knot_migration``, in the same places. For the last the callback keeps
    the breakpoints of the run, :class:`kanlit.adaptation.KnotHistory`, in its state.

    The grid adaptation callback calls :meth:`on_grid_adaptation`. A picture that cannot be drawn
    or stored is a warning that names the cause; training goes on.

    Args:
        every_n_adaptations: Pictures and histograms for the first of so many adaptations;
            scalars come with each.
        max_features: So many features of the first layer are drawn, twice as many of each
            hidden layer.

    Raises:
        ConfigurationError: If one of them is less than 1.
    """

    def __init__(self, every_n_adaptations: int = 1, max_features: int = 6) -> None:
        settings = {"every_n_adaptations": every_n_adaptations, "max_features": max_features}
        for name, value in settings.items():
            if value < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {value}")
        self.every_n_adaptations = every_n_adaptations
        self.max_features = max_features
        self._adaptations = 0
        self._history = KnotHistory()
        self._names: dict[str, list[str]] = {}

    @property
    def records(self) -> tuple[KnotRecord, ...]:
        """Where the knots of the run have stood."""
        return self._history.records

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Before a checkpoint is loaded. A trainer that has stepped already goes on.
        if stage == "fit" and trainer.global_step == 0:
            self._history = KnotHistory()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        layers = list(kan_layers(network_of(pl_module)).values())
        if layers:
            data = getattr(trainer, "datamodule", None)
            inputs, targets = names_of(data, layers[0].in_features, layers[-1].out_features)
            self._names = {"inputs": inputs, "targets": targets}

    def state_dict(self) -> dict[str, Any]:
        return {
            "adaptations": self._adaptations,
            "history": self._history.state_dict(),
            "names": self._names,  # of a checkpoint that is drawn without its data
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._adaptations = state_dict["adaptations"]
        self._history.load_state_dict(state_dict.get("history", []))  # older ones have none

    def on_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> None:
        """Log one adaptation's scalars, and draw it where its turn has come."""
        turn = self._adaptations % self.every_n_adaptations == 0
        self._adaptations += 1
        self._history.add(report, trainer.current_epoch, trainer.global_step)
        if not trainer.is_global_zero:
            return
        scalars = _grid_scalars(pl_module, report)
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=trainer.global_step)
        if turn:
            self.plot(trainer, pl_module, report)

    def on_pruning(
        self, trainer: Trainer, pl_module: LightningModule, report: PruningReport
    ) -> None:
        """Follows the knots of those inputs only that layers still have."""
        names = kan_layers(network_of(pl_module))
        kept = zip(names, report.kept, strict=True)
        self._history.retain({name: part.inputs for name, part in kept})

    def plot(self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport) -> None:
        """Picture and histograms of one adaptation for each logger; on global rank zero only."""
        if not trainer.is_global_zero:
            return
        step = trainer.global_step
        try:
            figure = self._figure(trainer, pl_module, report)
            for logger in trainer.loggers:
                _log_histograms(logger, report, step)
            log_figure(trainer, figure, "knots", f"knots_step={step:06d}.png")
        except Exception as error:
            _warn("no picture of this grid adaptation", error)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # After the end of training, where other callbacks may put other weights in place.
        if trainer.is_global_zero and kan_layers(network_of(pl_module)):
            self.plot_network(trainer, pl_module)

    def plot_network(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pictures of the network as it stands for each logger."""
        named = kan_layers(network_of(pl_module))
        layers = list(named.values())
        data = getattr(trainer, "datamodule", None)
        inputs, targets = names_of(data, layers[0].in_features, layers[-1].out_features)

        def error_map() -> dict[str, Figure]:
            try:
                return {"error_map": error_picture(pl_module, data, layers[0], inputs, targets)}
            except ConfigurationError:  # nothing to compare with
                return {}

        def migration() -> dict[str, Figure]:
            epoch = trainer.current_epoch
            figure = knot_migration_picture(self.records, named, epoch, inputs)
            return {"knot_migration": figure}

        kinds: list[Callable[[], dict[str, Figure]]] = [
            lambda: layer_pictures(layers, inputs, targets),
            error_map,
            *([migration] if self.records else []),
        ]
        for draw in kinds:
            try:
                for tag, figure in draw().items():
                    log_figure(trainer, figure, tag, f"{tag}.png")
            except Exception as error:
                _warn("no picture of the network", error)

    def _figure(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> Figure:
        datamodule = getattr(trainer, "datamodule", None)
        target = getattr(datamodule, "target", None)
        names, _ = names_of(datamodule, report.layers[0].new_breakpoints.shape[0], 1)
        curve = None
        try:
            known = target if isinstance(target, TargetFunction) else None
            curve = slice_curve(pl_module, report, known, names)
        except Exception as error:  # a module of the user's own may take other inputs
            _warn("the knot picture goes without target and prediction", error)
        epoch, step = trainer.current_epoch, trainer.global_step
        title = f"epoch {epoch}" if epoch == step else f"epoch {epoch}, step {step}"
        return knot_figure(report, curve, title, self.max_features, names)


def _grid_scalars(module: nn.Module, report: AdaptationReport) -> dict[str, float]:
    health = [grid_health(layer) for layer in report.layers]
    return {
        "grid/size": float(report.grid_size),
        "grid/parameters": float(sum(p.numel() for p in module.parameters() if p.requires_grad)),
        "grid/refit_error": report.refit_error,
        "grid/out_of_range": report.out_of_range,
        "grid/effective_samples": min(layer.effective_samples for layer in health),
        "grid/edge_coverage": min(layer.edge_coverage for layer in health),
        "grid/displacement": max(layer.displacement for layer in health),
    }


def _log_histograms(logger: Logger, report: AdaptationReport, step: int) -> None:
    add_histogram = getattr(getattr(logger, "experiment", None), "add_histogram", None)
    if add_histogram is not None:
        for layer in report.layers:
            add_histogram(
                f"knots/{layer.name}", layer.new_breakpoints.detach().double(), global_step=step
            )


def _warn(what: str, error: Exception) -> None:
    rank_zero_warn(f"{what}: {type(error).__name__}: {error}; training goes on")
