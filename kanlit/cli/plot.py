"""``kanlit plot``: plots of a trained run, from its checkpoint."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure

from kanlit.callbacks.equation_figures import animated_solution
from kanlit.callbacks.run_figures import (
    DataView,
    knot_migration_picture,
    layer_pictures,
    names_of,
    result_picture,
)
from kanlit.cli.command_parser import CommandParser, chosen_checkpoint, named_module
from kanlit.data import EquationData
from kanlit.errors import ConfigurationError, check_at_least
from kanlit.files import expanded, writing_problem, written_whole
from kanlit.modules import PDEModule
from kanlit.plotting import convergence_figure
from kanlit.runs.trained import TrainedRun

__all__ = ["main"]

_DESCRIPTION = """\
Plots a trained network and its run, one file each:

  network         the network as a graph, each edge with its function and breakpoints
  curves          the edge functions of each input feature with their breakpoints
  error_map       target, prediction and error for functions of one or two inputs; otherwise
                  predicted against measured values of the test data, or for classes the confusion
                  matrix, the reliability diagram, and for two inputs the decision map
  solution        for an equation in two or three coordinates, instead of error_map: prediction,
                  reference, error and residual, with the training points and breakpoints; with
                  three, at the start, middle and end of the third, such as the time
  knot_migration  all breakpoints against the epoch
  convergence     losses and errors against the epoch

  kanlit plot last
  kanlit plot lightning_logs/version_0/checkpoints/best.ckpt --format pdf --output figures
  kanlit plot last --animate t

With --animate, the solution of an equation along a coordinate or parameter is written as well,
animation.gif.

Plots without data are omitted, with one line that gives the reason."""


def main(argv: Sequence[str]) -> int:
    """Runs the command with these arguments and returns its exit status.

    Raises:
        ConfigurationError: The user can correct the error.
    """
    options = _parser().parse_args(argv)
    check_at_least("--dpi", options.dpi, 10)
    path = chosen_checkpoint(options.checkpoint, options.root)
    run = TrainedRun(path)
    folder = options.output or run.folder / "plots"
    if problem := writing_problem(folder):
        raise ConfigurationError(
            f"cannot write to {folder} ({problem}): give another folder with --output"
        )
    if options.animate is not None:
        _animate(run, options, folder)
    elif options.mp4:
        raise ConfigurationError("--mp4 is the format of an animation: add --animate COORDINATE")
    for name, figure in _pictures(run, options.config, options.model):
        if isinstance(figure, str):
            print(f"{name}: omitted: {figure}")
            continue
        file = folder / f"{name}.{options.format}"
        with written_whole(file) as unfinished:
            figure.savefig(unfinished, format=options.format, dpi=options.dpi)
        print(f"{name}: {file}")
    return 0


def _parser() -> CommandParser:
    parser = CommandParser("plot", "CHECKPOINT [options]", description=_DESCRIPTION)
    add = parser.add_argument
    parser.add_checkpoint()
    add(
        "--output",
        type=expanded,
        metavar="FOLDER",
        help="output folder, created if missing (default: plots in the folder of the run)",
    )
    add(
        "--format",
        choices=("png", "svg", "pdf"),
        default="png",
        help="file format: png, svg or pdf (default: png)",
    )
    add("--dpi", type=int, default=150, help="dots per inch of a PNG (default: 150)")
    add("--animate", metavar="NAME", help="animate the solution along this coordinate or parameter")
    add("--mp4", action="store_true", help="write the animation as MP4, which needs ffmpeg")
    parser.add_config()
    parser.add_model()
    return parser


def _animate(run: TrainedRun, options: Namespace, folder: Path) -> None:
    """Writes the animation.

    Raises:
        ConfigurationError: The run is not on an equation, or cannot be animated along this name.
    """
    module = run.module(named_module(options.model), options.config)
    data = run.data(options.config)
    if not (isinstance(data, EquationData) and isinstance(module, PDEModule)):
        raise ConfigurationError(
            f"--animate {options.animate} needs a run on an equation, but its data are "
            f"{type(data).__name__}: remove --animate"
        )
    file = folder / f"animation.{'mp4' if options.mp4 else 'gif'}"
    with TemporaryDirectory() as drafts:  # writers choose the format by the name
        draft = Path(drafts) / file.name
        animated_solution(module, data, options.animate, draft)
        with written_whole(file) as unfinished:
            copyfile(draft, unfinished)
    print(f"animation: {file}")


def _pictures(
    run: TrainedRun, config: Path | None, model: str | None
) -> Iterator[tuple[str, Figure | str]]:
    """Yields each plot by name, or the reason why it is omitted."""
    named = run.layers()
    layers = list(named.values())
    first, last = layers[0], layers[-1]
    inputs, targets = names_of(None, first.in_features, last.out_features)
    kept = run.names
    inputs, targets = kept.get("inputs", inputs), kept.get("targets", targets)
    module, data, missing = None, None, ""
    try:
        module, data = run.module(named_module(model), config), run.data(config)
    except ConfigurationError as error:
        if config is not None or model is not None:
            raise
        missing = str(error)
    if data is not None and not kept:
        inputs, targets = names_of(data, first.in_features, last.out_features)

    view = None
    if module is not None:
        try:
            view = DataView.of(module, data, first)
        except ConfigurationError as error:  # a table that is no longer there
            print(f"importances: over the grids instead of the data: {error}")
    try:
        yield from layer_pictures(layers, inputs, targets, view).items()
    except ValueError as error:  # layers of the user's own module may branch
        yield "network", str(error)
    if module is None:
        yield "error_map", missing
    else:
        try:
            found = result_picture(module, data, first, inputs, targets, run.points(data))
            yield from found.items()
        except ValueError as error:  # a ConfigurationError among them
            yield "error_map", str(error)
    yield (
        "knot_migration",
        _drawn(lambda: knot_migration_picture(run.records, named, run.epoch, inputs, view))
        if run.records
        else "the checkpoint has no record of its knots: no grid was adapted, or an older kanlit "
        "wrote it",
    )
    yield "convergence", _drawn(lambda: _convergence(run))


def _drawn(draw: Callable[[], Figure]) -> Figure | str:
    try:
        return draw()
    except ValueError as error:  # a ConfigurationError among them
        return str(error)


def _convergence(run: TrainedRun) -> Figure:
    metrics = run.metrics()
    epochs = metrics.unit == "epoch"
    marks = [(r.epoch if epochs else r.step, r.grid_size) for r in run.records]
    return convergence_figure(metrics.curves, marks, "convergence", metrics.unit)
