"""Logs each grid adaptation and the trained network as pictures, histograms and scalars."""

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
from kanlit.callbacks.equation_figures import has_map, points_picture
from kanlit.callbacks.figure_log import log_figure
from kanlit.callbacks.notices import log_scalars
from kanlit.callbacks.run_figures import (
    DataView,
    embedded_columns,
    knot_migration_picture,
    layer_pictures,
    names_of,
    result_picture,
)
from kanlit.callbacks.slices import slice_curve
from kanlit.callbacks.training_samples import network_of
from kanlit.data import EquationData
from kanlit.errors import ConfigurationError, check_at_least
from kanlit.nn import PruningReport
from kanlit.plotting import knot_figure
from kanlit.problems.functions.target import TargetFunction

__all__ = ["KnotPlotCallback"]


class KnotPlotCallback(Callback):
    """Draws every grid adaptation and the trained network, in TensorBoard or as PNG files.

    Loggers that support figures (TensorBoard) receive the picture under the tag ``knots``, with
    one image per adaptation, and a histogram of each layer's breakpoints under ``knots/LAYER``.
    For other loggers, ``knots_step=000500.png`` is written to the run's folder. All loggers receive
    the scalars ``grid/size`` (G), ``grid/parameters`` (number of trainable parameters),
    ``grid/refit_error``, ``grid/out_of_range`` (the largest fraction, 0 to 1, of a layer's inputs
    outside its old grid), and the worst layer's ``grid/effective_samples``,
    ``grid/edge_coverage`` and ``grid/displacement`` (:class:`kanlit.adaptation.GridHealth`).
    With ``sampling: residual``, ``points`` shows the training points over the residual after each
    of the first 8 redraws, and then after fewer and fewer, some 20 in a run.

    At the end of training it adds ``network`` (the network as a graph), ``curves`` (its edge
    functions), ``knot_migration``, and ``solution`` for an equation in two coordinates, or else
    ``error_map`` (if the data module knows the function or has a test set of inputs and targets).
    For the knots, the callback saves the breakpoints of the run,
    :class:`kanlit.adaptation.KnotHistory`, in its state.

    The grid adaptation callback calls :meth:`on_grid_adaptation`. If a picture cannot be drawn or
    saved, a warning states the cause and training continues.

    Args:
        every_n_adaptations: Draw pictures and histograms at every n-th adaptation; scalars are
            logged at each.
        max_features: Largest number of features drawn of the first layer; twice as many are drawn
            of each hidden layer.

    Raises:
        ConfigurationError: An argument is less than 1.
    """

    def __init__(self, every_n_adaptations: int = 1, max_features: int = 6) -> None:
        check_at_least("every_n_adaptations", every_n_adaptations, 1)
        check_at_least("max_features", max_features, 1)
        self.every_n_adaptations = every_n_adaptations
        self.max_features = max_features
        self._adaptations = 0
        self._history = KnotHistory()
        self._names: dict[str, list[str]] = {}

    @property
    def records(self) -> tuple[KnotRecord, ...]:
        """The breakpoints of the run's adaptations."""
        return self._history.records

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Called before a checkpoint is loaded. A trainer that has already stepped continues.
        if stage == "fit" and trainer.global_step == 0:
            self._history = KnotHistory()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        layers = list(kan_layers(network_of(pl_module)).values())
        if layers:
            data = getattr(trainer, "datamodule", None)
            inputs, targets = names_of(data, layers[0].in_features, layers[-1].out_features)
            self._names = {"inputs": inputs, "targets": targets}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = getattr(trainer, "datamodule", None)
        if trainer.is_global_zero and isinstance(data, EquationData) and data.redraw is not None:
            redraws, epochs_since = divmod(trainer.current_epoch, data.redraw.every)
            if epochs_since == 0 and _is_drawn(redraws):
                step = trainer.global_step
                self._log(trainer, lambda: _points(trainer, pl_module), f"_step={step:06d}.png")

    def state_dict(self) -> dict[str, Any]:
        return {
            "adaptations": self._adaptations,
            "history": self._history.state_dict(),
            "names": self._names,  # for plotting a checkpoint without its data
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._adaptations = state_dict["adaptations"]
        self._history.load_state_dict(state_dict["history"])

    def on_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> None:
        """Logs the scalars of an adaptation, and draws every n-th adaptation."""
        turn = self._adaptations % self.every_n_adaptations == 0
        self._adaptations += 1
        self._history.add(report, trainer.current_epoch, trainer.global_step)
        log_scalars(trainer, _grid_scalars(pl_module, report))
        if turn:
            self.plot(trainer, pl_module, report)

    def on_pruning(
        self, trainer: Trainer, pl_module: LightningModule, report: PruningReport
    ) -> None:
        """Keeps the history of only those inputs that the pruned layers still have."""
        names = kan_layers(network_of(pl_module))
        kept = zip(names, report.kept, strict=True)
        self._history.retain({name: part.inputs for name, part in kept})

    def plot(self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport) -> None:
        """Logs the picture and histograms of one adaptation, on global rank 0 only."""
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
        # After on_train_end, where other callbacks may change the weights.
        if trainer.is_global_zero and kan_layers(network_of(pl_module)):
            self.plot_network(trainer, pl_module)

    def plot_network(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the pictures of the current network."""
        named = kan_layers(network_of(pl_module))
        layers = list(named.values())
        data = getattr(trainer, "datamodule", None)
        inputs, targets = names_of(data, layers[0].in_features, layers[-1].out_features)

        def result() -> dict[str, Figure]:
            try:
                return result_picture(pl_module, data, layers[0], inputs, targets)
            except ConfigurationError:  # nothing to compare with
                return {}

        def view() -> DataView:
            return DataView.of(pl_module, data, layers[0])

        def migration() -> dict[str, Figure]:
            epoch = trainer.current_epoch
            figure = knot_migration_picture(self.records, named, epoch, inputs, view())
            return {"knot_migration": figure}

        kinds: list[Callable[[], dict[str, Figure]]] = [
            lambda: layer_pictures(layers, inputs, targets, view()),
            result,
            *([migration] if self.records else []),
            *([] if has_map(data) else [lambda: _points(trainer, pl_module)]),
        ]
        for draw in kinds:
            self._log(trainer, draw, ".png")

    def _log(self, trainer: Trainer, draw: Callable[[], dict[str, Figure]], file_end: str) -> None:
        try:
            for tag, figure in draw().items():
                log_figure(trainer, figure, tag, f"{tag}{file_end}")
        except Exception as error:
            _warn("no picture of the network", error)

    def _figure(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> Figure:
        datamodule = getattr(trainer, "datamodule", None)
        target = getattr(datamodule, "target", None)
        names, _ = names_of(datamodule, report.layers[0].new_breakpoints.shape[0], 1)
        known = target if isinstance(target, TargetFunction) else None
        columns = embedded_columns(datamodule)
        curve = None
        try:
            # No slice along a column of which the network sees functions.
            if not columns or (known is not None and columns[0] == names[0]):
                curve = slice_curve(pl_module, report, known, columns or names)
        except Exception as error:  # a user's module may take other inputs
            _warn("the knot picture has no target and prediction", error)
        epoch, step = trainer.current_epoch, trainer.global_step
        title = f"epoch {epoch}" if epoch == step else f"epoch {epoch}, step {step}"
        return knot_figure(report, curve, title, self.max_features, names)


def _is_drawn(redraws: int) -> bool:
    """Whether points are drawn after this many redraws: the first 8, then 4 per doubling."""
    return redraws > 0 and redraws % 2 ** max(0, redraws.bit_length() - 3) == 0


def _points(trainer: Trainer, module: LightningModule) -> dict[str, Figure]:
    """``points``, the drawn collocation points; empty if no points have been drawn."""
    data = getattr(trainer, "datamodule", None)
    points = data.drawn_points if isinstance(data, EquationData) else None
    if points is None:
        return {}
    assert isinstance(data, EquationData)
    return {"points": points_picture(module, data, points)}


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
    rank_zero_warn(f"{what}: {type(error).__name__}: {error}; training continues")
