"""Shows each grid adaptation: a picture, knot histograms and scalars for every logger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_warn
from matplotlib.figure import Figure
from torch import Tensor, nn

from kanlit.adaptation import AdaptationReport, grid_health
from kanlit.callbacks.training_samples import evaluating
from kanlit.errors import ConfigurationError
from kanlit.files import written_whole
from kanlit.plotting import TargetCurve, knot_figure
from kanlit.problems.target import TargetFunction, uniform_points

__all__ = ["KnotPlotCallback", "slice_curve"]

POINTS = 513  # along a slice


class KnotPlotCallback(Callback):
    """Draws every grid adaptation of a run, in TensorBoard or as PNG files.

    Loggers with figures (TensorBoard) get the picture under the tag ``knots``, so that its
    slider steps through the adaptations, and a histogram of each layer's breakpoints under
    ``knots/LAYER``. For the others ``knots_step=000500.png`` is written into the run's folder,
    where its ``checkpoints`` folder is. All get the scalars ``grid/size`` (G),
    ``grid/parameters`` (trainable ones), ``grid/refit_error``, ``grid/out_of_range`` (the
    largest share, 0 to 1, of a layer's inputs outside its old grid), and the worst layer's
    ``grid/effective_samples``, ``grid/edge_coverage`` and ``grid/displacement``
    (:class:`kanlit.adaptation.GridHealth`).

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

    def state_dict(self) -> dict[str, Any]:
        return {"adaptations": self._adaptations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._adaptations = state_dict["adaptations"]

    def on_grid_adaptation(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> None:
        """Log one adaptation's scalars, and draw it where its turn has come."""
        turn = self._adaptations % self.every_n_adaptations == 0
        self._adaptations += 1
        if not trainer.is_global_zero:
            return
        scalars = _grid_scalars(pl_module, report)
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=trainer.global_step)
        if turn:
            self.plot(trainer, pl_module, report)

    def plot(self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport) -> None:
        """Picture and histograms of one adaptation for each logger; on global rank zero only."""
        if not trainer.is_global_zero:
            return
        step = trainer.global_step
        try:
            figure = self._figure(trainer, pl_module, report)
            for logger in trainer.loggers:
                _log_histograms(logger, report, step)
                if _takes_figures(logger):
                    experiment: Any = getattr(logger, "experiment")  # noqa: B009
                    experiment.add_figure("knots", figure, global_step=step, close=False)
                    experiment.flush()
            for folder in _png_folders(trainer):
                _write_png(figure, folder, f"knots_step={step:06d}.png")
        except Exception as error:
            _warn("no picture of this grid adaptation", error)

    def _figure(
        self, trainer: Trainer, pl_module: LightningModule, report: AdaptationReport
    ) -> Figure:
        datamodule = getattr(trainer, "datamodule", None)
        target = getattr(datamodule, "target", None)
        names = _input_names(datamodule, report.layers[0].new_breakpoints.shape[0])
        curve = None
        try:
            known = target if isinstance(target, TargetFunction) else None
            curve = slice_curve(pl_module, report, known, names)
        except Exception as error:  # a module of the user's own may take other inputs
            _warn("the knot picture goes without target and prediction", error)
        epoch, step = trainer.current_epoch, trainer.global_step
        title = f"epoch {epoch}" if epoch == step else f"epoch {epoch}, step {step}"
        return knot_figure(report, curve, title, self.max_features, names)


def slice_curve(
    module: LightningModule,
    report: AdaptationReport,
    target: TargetFunction | None,
    names: Sequence[str],
) -> TargetCurve:
    """Target and prediction along the first input, in the units that the first layer sees.

    The other inputs are held at one point. With a target it is the 99th percentile of
    ``|f − median f|`` over fixed random points of the box, the same at each adaptation: a slice
    that meets the function's features, where the box's centre may meet none (the Helmholtz
    solution is zero there) and the maximum may be a pole. Without, it is the median of the
    first layer's samples.

    Args:
        module: Its ``forward`` takes ``(n, in)`` in the user's units and gives ``(n, out)``, of
            which the first output is drawn; its ``network_inputs``, where it has one, maps the
            user's units to the first layer's.
        report: Where the first layer's samples come from.
        target: The function that is learnt, if it is known.
        names: One for each input.

    Raises:
        ValueError: If forward's output is not of that shape, or ``network_inputs`` is not a
            change of units of each column by itself and no target says where to evaluate.
    """
    parameter = next(p for p in module.parameters() if p.is_floating_point())
    to_network = getattr(module, "network_inputs", None) or _identity
    with evaluating(module):
        if target is not None:
            raw = _slice_of_box(target)
            inputs = raw.to(parameter)
            held = "held at " + ", ".join(
                f"{name} = {value:.3g}" for name, value in zip(names[1:], raw[0, 1:], strict=True)
            )
        else:
            inputs = _to_raw(to_network, _slice_of_samples(report).to(parameter))
            held = "the others at their median"
        x = to_network(inputs)[:, 0]
        prediction = module(inputs)
    if not isinstance(prediction, Tensor) or prediction.shape[:1] != (POINTS,):
        got = tuple(prediction.shape) if isinstance(prediction, Tensor) else type(prediction)
        raise ValueError(f"forward must map ({POINTS}, in) to ({POINTS}, out), got {got}")
    outputs = prediction.reshape(POINTS, -1)
    units = "" if torch.equal(x, inputs[:, 0]) else ", as the network sees it"
    return TargetCurve(
        x=x,
        prediction=outputs[:, 0],
        target=None if target is None else target(raw)[:, 0],
        label=f"{names[0]}{units}" + (f" ({held})" if len(names) > 1 else ""),
        quantity="output" if outputs.shape[1] == 1 else f"first of {outputs.shape[1]} outputs",
    )


def _slice_of_box(target: TargetFunction) -> Tensor:
    """Points ``(m, in)`` in float64 along the first input; see :func:`slice_curve`."""
    points = uniform_points(target.bounds, 4096, torch.Generator().manual_seed(0))
    values = target(points)[:, 0]
    points, values = points[values.isfinite()], values[values.isfinite()]
    order = (values - values.median()).abs().argsort()
    held = points[order[int(0.99 * (len(order) - 1))]].repeat(POINTS, 1)
    held[:, 0] = torch.linspace(*target.bounds[0], POINTS, dtype=held.dtype)
    return held


def _slice_of_samples(report: AdaptationReport) -> Tensor:
    """Points ``(m, in)`` along the first input through the first layer's samples."""
    samples = report.layers[0].samples.detach()
    points = samples.median(dim=0).values.repeat(POINTS, 1)
    low, high = samples[:, 0].aminmax()
    points[:, 0] = torch.linspace(low.item(), high.item(), POINTS)
    return points


def _to_raw(to_network: Any, points: Tensor) -> Tensor:
    """The user's units ``(m, in)`` of network inputs ``(m, in)``, for a change of units a column.

    Offset and slope are read off at 0 and 1; the corrections take out what rounding leaves of
    them where the offset is large beside the slope (a column of years).
    """
    offset = to_network(torch.zeros_like(points[:1]))
    slope = to_network(torch.ones_like(points[:1])) - offset
    raw = (points - offset) / slope
    for _ in range(3):
        raw = raw + (points - to_network(raw)) / slope
    scale = points.abs().max().item() + 1e-12
    if not torch.allclose(to_network(raw), points, rtol=0.0, atol=1e-3 * scale):
        raise ValueError("network_inputs does not scale and shift each column by itself")
    return raw


def _identity(x: Tensor) -> Tensor:
    return x


def _input_names(datamodule: object, in_features: int) -> list[str]:
    """The data module's ``input_names``, else ``x1, x2, …``."""
    names = getattr(datamodule, "input_names", None)
    if isinstance(names, (list, tuple)) and len(names) == in_features:
        return [str(name) for name in names]
    return [f"x{i + 1}" for i in range(in_features)]


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


def _takes_figures(logger: Logger) -> bool:
    return hasattr(getattr(logger, "experiment", None), "add_figure")


def _png_folders(trainer: Trainer) -> list[Path]:
    """Run folders of the loggers without figures, as ModelCheckpoint resolves them."""
    if not trainer.loggers:
        return [Path(trainer.default_root_dir)]
    folders = []
    for logger in trainer.loggers:
        if not _takes_figures(logger):
            version = logger.version
            version = version if isinstance(version, str) else f"version_{version}"
            root = logger.save_dir or trainer.default_root_dir
            folders.append(
                Path(getattr(logger, "log_dir", None) or Path(root, str(logger.name), version))
            )
    return list(dict.fromkeys(folders))


def _write_png(figure: Figure, folder: Path, name: str) -> None:
    """Whole or not at all: a reader never meets half a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / name) as unfinished:
        figure.savefig(unfinished, format="png")


def _warn(what: str, error: Exception) -> None:
    rank_zero_warn(f"{what}: {type(error).__name__}: {error}; training goes on")
