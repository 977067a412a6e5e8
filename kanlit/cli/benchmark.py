"""``kanlit benchmark``: the matrix from the command line, and ``kanlit benchmark report``."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kanlit.benchmark.cluster import SchedulerLostError, dask_engine
from kanlit.benchmark.engine import local_engine
from kanlit.benchmark.matrix import Matrix, build_matrix
from kanlit.benchmark.recipes import SHIPPED, Layer, densities_by_class, load_variants
from kanlit.benchmark.runner import Tally, run_matrix
from kanlit.benchmark.tasks import SUITES, choose_tasks
from kanlit.cli.command_parser import CommandParser
from kanlit.cli.commands import INTERRUPTED
from kanlit.errors import ConfigurationError

__all__ = ["main"]

_DENSITIES = "InputDensity,CurvatureDensity"

_DESCRIPTION = """\
Trains every task with every density and seed, through the same modules, data and callback as
kanlit fit, and writes DIR/results.csv, a row a run:

  kanlit benchmark --out out                                all three suites, 214 runs
  kanlit benchmark --tasks f2,f4,feynman9 --seeds 42-46 --out out
  kanlit benchmark --suite synthetic --variants configs/benchmark/densities.yaml --out out
  kanlit benchmark report out                               medians, tests and figures of them

Given the same command again, it makes what is missing and what failed. A run that fails is a row
with its error, and the command then ends with status 1."""

_EPILOG = """\
A recipe or a variant is written under the keys of kanlit's configs (kanlit fit --help). A recipe
file has a key for each suite, and under it what differs from the recipe sound:

  synthetic: {model: {hidden: [5]}, trainer: {max_epochs: 500}}

A variants file has a name for each variant, and under it what differs from the recipe:

  curvature_raw:
    adaptation: {density: {class_path: CurvatureDensity, init_args: {power: 1}}, uniform_mix: 0}"""


def main(argv: Sequence[str]) -> int:
    """Runs the command with these words and returns its exit status.

    Raises:
        ConfigurationError: Something that the user can mend; nothing has been run then.
    """
    if argv[:1] == ["report"]:
        from kanlit.benchmark.report import main as report  # with its figures, slow to import

        report(list(argv[1:]))
        return 0
    options = _parser().parse_args(argv)
    _check(options)
    tasks = choose_tasks(options.suite, options.tasks)
    matrix = build_matrix(
        tasks, _densities(options), options.recipe, options.seeds, records=options.logs
    )
    tally, start = Tally(len(matrix.runs)), time.perf_counter()
    stopped = ""
    try:
        _run(matrix, options, tally)
    except KeyboardInterrupt:
        stopped, status = "interrupted", INTERRUPTED
    except SchedulerLostError as error:
        stopped, status = str(error), 1
    if stopped:
        done = f"{tally.kept + tally.made} of {tally.total} runs done"
        again = shlex.join(["kanlit", "benchmark", *argv])
        print(f"kanlit: {stopped}, {done}; continue with {again}", file=sys.stderr)
        return status
    minutes = (time.perf_counter() - start) / 60
    print(f"runs: {tally.made} in {minutes:.1f} min, {tally.kept} were there")
    if tally.failed:
        print(f"failed: {tally.failed}; why, says the column error; the same command tries again")
    print(f"results: {options.out / 'results.csv'}")
    print(f"next: kanlit benchmark report {shlex.quote(str(options.out))}")
    return 1 if tally.failed else 0


def _run(matrix: Matrix, options: argparse.Namespace, tally: Tally) -> None:
    threads = options.threads
    if options.scheduler:
        with dask_engine(options.scheduler) as engine:
            run_matrix(matrix, options.out, engine, threads, options.logs, tally)
        return
    engine = local_engine(options.jobs or _cores(), threads)
    run_matrix(matrix, options.out, engine, threads, options.logs, tally)


def _parser() -> CommandParser:
    parser = CommandParser(
        "benchmark",
        "[options] --out DIR\n       kanlit benchmark report DIR [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="where the results are kept")
    add(
        "--suite",
        default="all",
        metavar="NAME",
        help=f"{', '.join(SUITES)} or all (the default)",
    )
    add(
        "--tasks",
        type=_words,
        metavar="LIST",
        help="some tasks of them only: f1 … f10, feynman1 … feynman15, helmholtz11, helmholtz12, "
        "helmholtz22, helmholtz24",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--densities",
        type=_words,
        metavar="LIST",
        help=f"classes as for kanlit fit --adaptation.density (default: {_DENSITIES}); the "
        "recipe's settings of a class hold for it",
    )
    what.add_argument(
        "--variants",
        metavar="FILE",
        help="YAML of named settings to compare in place of densities",
    )
    published = "; ".join(f"{name} {_range(suite.seeds)}" for name, suite in SUITES.items())
    add(
        "--seeds",
        type=_numbers,
        metavar="LIST",
        help=f"such as 42,43 or 42-46 (default: the paper's: {published})",
    )
    add(
        "--recipe",
        default="sound",
        metavar="NAME",
        help=f"{' or '.join(SHIPPED)}: the paper's protocol on kanlit's numerics (the default), "
        "or on the published ones; or a YAML file of your own",
    )
    add(
        "--logs",
        action="store_true",
        help="keep TensorBoard logs, pictures of knots and checkpoints under DIR/runs; the times "
        "then hold them",
    )
    add(
        "--jobs",
        type=int,
        metavar="N",
        help=f"runs at a time (default: one for each core, here {_cores()})",
    )
    add(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="threads of each run (default: 1, for the networks are small; with another number "
        "the last digits differ)",
    )
    add(
        "--backend",
        choices=("local", "dask"),
        default="local",
        help="processes of this machine (the default), or workers of a Dask cluster",
    )
    add("--scheduler", metavar="ADDRESS", help="of the cluster, such as tcp://10.0.0.1:8786")
    return parser


def _densities(options: argparse.Namespace) -> dict[str, Layer]:
    if options.variants is not None:
        return load_variants(options.variants)
    chosen = options.densities
    return densities_by_class(_words(_DENSITIES) if chosen is None else chosen)


def _check(options: argparse.Namespace) -> None:
    """Options that do not go together."""
    dask = options.backend == "dask"
    if dask and not options.scheduler:
        raise ConfigurationError(
            "--backend dask needs the address of a scheduler: give --scheduler tcp://HOST:8786"
        )
    if options.scheduler and not dask:
        raise ConfigurationError("--scheduler is of --backend dask: give both or neither")
    if dask and options.jobs is not None:
        raise ConfigurationError(
            "--jobs is of this machine, and --backend dask takes the cluster's workers: leave "
            "one of them out"
        )
    for name in ("jobs", "threads"):
        given = getattr(options, name)
        if given is not None and given < 1:
            raise ConfigurationError(f"--{name} must be at least 1, got {given}")


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(word for word in re.split(r"[,\s]+", text) if word))


def _numbers(text: str) -> list[int]:
    """``42,44-46`` as numbers."""
    found: list[int] = []
    for word in _words(text):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
        if match is None:
            raise ConfigurationError(
                f"--seeds: {word!r} is no seed: give whole numbers such as 42,43 or 42-46"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        found += range(first, last + 1)
    if not found:
        raise ConfigurationError("--seeds names no seed: give a list such as 42,43 or 42-46")
    return list(dict.fromkeys(found))


def _range(seeds: Sequence[int]) -> str:
    whole = list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}-{seeds[-1]}" if list(seeds) == whole else ", ".join(map(str, seeds))
