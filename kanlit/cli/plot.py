"""``kanlit plot``: pictures of a trained run, from its checkpoint."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from matplotlib.figure import Figure

from kanlit.callbacks.run_figures import (
    error_picture,
    knot_migration_picture,
    layer_pictures,
    names_of,
)
from kanlit.checkpoints import resolve_checkpoint
from kanlit.cli.run_folder import RunFolder
from kanlit.errors import ConfigurationError
from kanlit.files import written_whole
from kanlit.plotting import convergence_figure
from kanlit.plotting.network import MOST_EDGES

__all__ = ["main"]

_DESCRIPTION = """\
Draws a trained network and its run, a file each:

  network         the network as a graph, each edge with its function and its breakpoints
  curves          the edge functions of each input feature over their breakpoints
  error_map       target, prediction and error of a function of one input or two; else
                  predicted against true values, of a table those of its test share
  knot_migration  every breakpoint against the epoch
  convergence     losses and errors against the epoch

  kanlit plot last
  kanlit plot lightning_logs/version_0/checkpoints/best.ckpt --format pdf --output figures

What a run has no data for is left out, with a line that says why."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message}: kanlit plot --help shows all options")


def main(argv: Sequence[str]) -> int:
    """Runs the command with these words and returns its exit status.

    Raises:
        ConfigurationError: Something that the user can mend.
    """
    options = _parser().parse_args(argv)
    root = Path(options.root)
    path = resolve_checkpoint(options.checkpoint, root)
    if path is None:
        raise ConfigurationError(
            f"no {options.checkpoint} checkpoint under {root / 'lightning_logs'}: train one first "
            f"with kanlit fit"
        )
    run = RunFolder(path)
    if options.checkpoint in ("last", "best"):
        print(f"{options.checkpoint} checkpoint: {path}")
    folder = options.output or run.folder / "plots"
    _check_folder(folder)
    for name, figure in _pictures(run, options.config):
        if isinstance(figure, str):
            print(f"{name}: left out: {figure}")
            continue
        file = folder / f"{name}.{options.format}"
        with written_whole(file) as unfinished:
            figure.savefig(unfinished, format=options.format)
        print(f"{name}: {file}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="kanlit plot",
        usage="kanlit plot CHECKPOINT [options]",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "checkpoint",
        metavar="CHECKPOINT",
        help="the path of a .ckpt file that kanlit fit has written, or last or best for the "
        "newest one under --trainer.default_root_dir",
    )
    add(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where the files go; made where there is none (default: plots in the run's folder)",
    )
    add(
        "--format",
        choices=("png", "svg", "pdf"),
        default="png",
        help="kind of file: png, svg or pdf (default: png)",
    )
    add(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings of the run, for its data (default: config.yaml in the run's folder)",
    )
    add(
        "--trainer.default_root_dir",
        dest="root",
        default=".",
        metavar="DIR",
        help="folder that holds lightning_logs, for last and best (default: this one)",
    )
    return parser


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        problem = "" if os.access(folder, os.W_OK) else "Permission denied"
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise ConfigurationError(
            f"cannot write to {folder} ({problem}): give another folder with --output"
        )


def _pictures(run: RunFolder, config: Path | None) -> Iterator[tuple[str, Figure | str]]:
    """Each picture by its name, or why there is none."""
    named = run.layers()
    layers = list(named.values())
    first, last = layers[0], layers[-1]
    inputs, targets = names_of(None, first.in_features, last.out_features)
    kept = run.names
    inputs, targets = kept.get("inputs", inputs), kept.get("targets", targets)
    module, data, missing = None, None, ""
    try:
        module, data = run.module_and_data(config)
    except ConfigurationError as error:
        if config is not None:
            raise
        missing = str(error)
    if data is not None and not kept:
        inputs, targets = names_of(data, first.in_features, last.out_features)

    edges = sum(layer.in_features * layer.out_features for layer in layers)
    if edges > MOST_EDGES:
        print(f"network: drawn are the {MOST_EDGES} most important of {edges} edges")
    try:
        yield from layer_pictures(layers, inputs, targets).items()
    except ValueError as error:  # layers of a module of the user's own may branch
        yield "network", str(error)
    if module is None:
        yield "error_map", missing
    else:
        whole = module
        yield "error_map", _drawn(lambda: error_picture(whole, data, first, inputs, targets))
    yield (
        "knot_migration",
        _drawn(lambda: knot_migration_picture(run.records, named, run.epoch, inputs))
        if run.records
        else "the checkpoint has no record of its knots: an earlier kanlit has written it, or no "
        "grid was adapted",
    )
    yield "convergence", _drawn(lambda: _convergence(run))


def _drawn(draw: Callable[[], Figure]) -> Figure | str:
    try:
        return draw()
    except ValueError as error:  # a ConfigurationError among them
        return str(error)


def _convergence(run: RunFolder) -> Figure:
    metrics = run.metrics()
    epochs = metrics.unit == "epoch"
    marks = [(r.epoch if epochs else r.step, r.grid_size) for r in run.records]
    return convergence_figure(metrics.curves, marks, "convergence", metrics.unit)
