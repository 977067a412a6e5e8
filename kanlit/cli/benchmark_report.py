"""``kanlit benchmark report``: tables, statistics and figures of a benchmark."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from kanlit.benchmark.comparison import in_order, named_like
from kanlit.benchmark.published import published_medians
from kanlit.benchmark.recipe_report import Settings
from kanlit.benchmark.report import listed_names, write_report
from kanlit.benchmark.report_input import read_curves, read_runs
from kanlit.cli.command_parser import CommandParser
from kanlit.errors import ConfigurationError

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Runs the command with these arguments and returns its exit status.

    Raises:
        ConfigurationError: If an option or ``results.csv`` is invalid.
    """
    options = _parser().parse_args(argv)
    runs = read_runs(options.folder)
    baseline, against = _chosen(in_order(runs["density"]), options.baseline, options.against)
    settings = Settings(baseline, against, published_medians() if options.published else None)
    out = options.out or options.folder / "report"
    command = shlex.join(["kanlit", "benchmark", "report", *argv])
    curves = read_curves(options.folder, runs)
    try:
        path = write_report(runs, curves, settings, out, command)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the report to {out} ({error.strerror}): give another --out"
        ) from None
    print(f"report: {path}")
    return 0


def _chosen(
    present: Sequence[str], baseline: str | None, against: str | None
) -> tuple[str | None, tuple[str, ...]]:
    """The baseline and the densities compared with it, from the options or by their names."""
    there = f"there are {listed_names(present)}"
    wanted = [name.strip() for name in against.split(",")] if against else []
    for option, name in (("--baseline", baseline), *(("--against", name) for name in wanted)):
        if name is not None and name not in present:
            raise ConfigurationError(f"{option} {name}: no run has this density; {there}")
    if baseline is not None and baseline in wanted:
        raise ConfigurationError(f"--against {baseline} is the baseline: name another density")
    if baseline is None and len(present) > 1:
        others = [name for name in present if name not in wanted]
        baseline = named_like(others, "input")
        if baseline is None:
            raise ConfigurationError(
                f"not exactly one density is named like input: {there}; name one with --baseline"
            )
    rest = [name for name in present if name != baseline]
    first = named_like(rest, "curvature")  # next to the baseline, as in the paper
    rest.sort(key=lambda name: name != first)
    return baseline, tuple(dict.fromkeys(wanted)) or tuple(rest)


def _parser() -> CommandParser:
    parser = CommandParser(
        "benchmark report",
        "DIR [options]",
        description="Writes tables, statistics and figures of the runs of kanlit benchmark.",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="folder with results.csv and curves/")
    add(
        "--baseline",
        metavar="DENSITY",
        help="density to compare the others with (default: the one named like input)",
    )
    add(
        "--against",
        metavar="DENSITY[,...]",
        help="densities to compare with it (default: all others)",
    )
    add("--out", type=Path, metavar="DIR", help="output folder (default: DIR/report)")
    add(
        "--published",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compare with the results of arXiv 2601.18672 (default: yes)",
    )
    return parser
