"""``kanlit benchmark``, and its subcommand ``report``."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from joblib import cpu_count  # type: ignore[import-untyped]

from kanlit.benchmark.cluster import SchedulerLostError, dask_engine
from kanlit.benchmark.engine import local_engine
from kanlit.benchmark.matrix import Matrix, build_matrix, config_matrix
from kanlit.benchmark.recipes import SHIPPED, Layer, densities_by_class, load_variants
from kanlit.benchmark.runner import Tally, run_matrix
from kanlit.benchmark.tasks import PAPER, SUITES, TASKS, choose_tasks
from kanlit.cli.command_parser import CommandParser
from kanlit.cli.commands import INTERRUPTED
from kanlit.errors import ConfigurationError

__all__ = ["main"]

_UNCHANGED = "as_given"  # the variant of a config if none is named
_DENSITIES = "InputDensity,CurvatureDensity"
_SPELT_OUT = ("helmholtz", "sharp", "equations")  # whose tasks the help names one by one

_DESCRIPTION = """\
Trains every task with every density and seed, with the same modules, data and callback as
kanlit fit, and writes one row per run to DIR/results.csv:

  kanlit benchmark --out out                                the paper's three suites, 214 runs
  kanlit benchmark --tasks f2,f4,feynman9 --seeds 42-46 --out out
  kanlit benchmark --suite synthetic --variants configs/benchmark/densities.yaml --out out
  kanlit benchmark --suite equations --recipe best --densities BlendedDensity --out out
  kanlit benchmark --config my.yaml --variants variants.yaml --seeds 1-5 --out out
  kanlit benchmark report out                               medians, tests and figures

The same command again trains the runs that are missing or failed. A failed run is recorded as a
row with its error, and the command then ends with status 1."""

_EPILOG = """\
Recipes and variants use the keys of kanlit's configs (kanlit fit --help). A recipe file has a key
for each suite, with the settings that differ from the recipe sound:

  synthetic: {model: {hidden: [5]}, trainer: {max_epochs: 500}}

A variants file has a name for each variant, with the settings that differ from the recipe:

  curvature_raw:
    adaptation: {density: {class_path: CurvatureDensity, init_args: {power: 1}}, uniform_mix: 0}"""


def main(argv: Sequence[str]) -> int:
    """Runs the command with these arguments and returns its exit status.

    Raises:
        ConfigurationError: The user can correct the error; no run has been started.
    """
    if argv[:1] == ["report"]:
        from kanlit.cli.benchmark_report import main as report  # with its figures, slow to import

        return report(argv[1:])
    options = _parser().parse_args(argv)
    _check(options)
    matrix = _matrix(options)
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
    print(f"runs: {tally.made} in {minutes:.1f} min, {tally.kept} already done")
    if tally.failed:
        print(f"failed: {tally.failed} (see the column error); the same command repeats them")
    print(f"results: {options.out / 'results.csv'}")
    variants = list(matrix.meanings["densities"])
    named = options.config is not None and len(variants) > 1
    baseline = f" --baseline {variants[0]}" if named else ""
    print(f"next: kanlit benchmark report {shlex.quote(str(options.out))}{baseline}")
    return 1 if tally.failed else 0


def _run(matrix: Matrix, options: argparse.Namespace, tally: Tally) -> None:
    threads = options.threads
    if options.scheduler:
        with dask_engine(options.scheduler) as engine:
            run_matrix(matrix, options.out, engine, threads, options.logs, tally)
        return
    engine = local_engine(options.jobs or cpu_count(), threads)
    run_matrix(matrix, options.out, engine, threads, options.logs, tally)


def _parser() -> CommandParser:
    parser = CommandParser(
        "benchmark",
        "[options] --out DIR\n       kanlit benchmark report DIR [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    add(
        "--config",
        metavar="FILE",
        help="config of kanlit fit for your own table, equation or formula, instead of a suite; "
        "compares --densities or --variants over --seeds (default: the config itself, 42-44)",
    )
    add(
        "--suite",
        default="all",
        metavar="NAME",
        help=f"{', '.join(SUITES)} or all (the default: {', '.join(PAPER)}, those of the paper)",
    )
    add(
        "--tasks",
        type=_words,
        metavar="LIST",
        help="only these tasks: f1 … f10, feynman1 … feynman15, "
        + ", ".join(word for word, task in TASKS.items() if task.suite in _SPELT_OUT),
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--densities",
        type=_words,
        metavar="LIST",
        help=f"classes as for kanlit fit --adaptation.density (default: {_DENSITIES}), with the "
        "settings that the recipe has for them",
    )
    what.add_argument(
        "--variants",
        metavar="FILE",
        help="YAML file with named settings to compare instead of densities",
    )
    published = "; ".join(f"{name} {_range(suite.seeds)}" for name, suite in SUITES.items())
    add(
        "--seeds",
        type=_numbers,
        metavar="LIST",
        help=f"seeds, such as 42,43 or 42-46 (default: {published}; those of the "
        "paper, except for sharp and the equations)",
    )
    add(
        "--recipe",
        default="sound",
        metavar="NAME",
        help=f"{', '.join(SHIPPED)} or your own YAML file (default: sound, the paper's protocol "
        "with kanlit's numerics; paper has published numerics, best and fast use least squares; "
        "an equation has its config from configs/equations in best, and otherwise the settings "
        "that kanlit fit chooses)",
    )
    add(
        "--logs",
        action="store_true",
        help="keep TensorBoard logs, knot plots and checkpoints under DIR/runs; the times then "
        "include them",
    )
    add(
        "--jobs",
        type=int,
        metavar="N",
        help=f"parallel runs (default: one per core, here {cpu_count()})",
    )
    add(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="threads per run (default: 1, because the networks are small; other numbers can "
        "change the last digits)",
    )
    add(
        "--backend",
        choices=("local", "dask"),
        default="local",
        help="processes of this machine (the default), or workers of a Dask cluster",
    )
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="address of the Dask scheduler, such as tcp://10.0.0.1:8786",
    )
    return parser


def _matrix(options: argparse.Namespace) -> Matrix:
    if options.config is not None:
        named = options.variants is not None or options.densities is not None
        variants = _densities(options) if named else {_UNCHANGED: {}}
        return config_matrix(options.config, variants, options.seeds, options.logs)
    tasks = choose_tasks(options.suite, options.tasks)
    return build_matrix(tasks, _densities(options), options.recipe, options.seeds, options.logs)


def _densities(options: argparse.Namespace) -> dict[str, Layer]:
    if options.variants is not None:
        return load_variants(options.variants)
    chosen = options.densities
    return densities_by_class(_words(_DENSITIES) if chosen is None else chosen)


def _check(options: argparse.Namespace) -> None:
    """Checks combinations of options."""
    dask = options.backend == "dask"
    if dask and not options.scheduler:
        raise ConfigurationError(
            "--backend dask needs the address of a scheduler: give --scheduler tcp://HOST:8786"
        )
    of_suites = {"--suite all": options.suite != "all", "--tasks": options.tasks is not None}
    of_suites["--recipe sound"] = options.recipe != "sound"
    for name, given in of_suites.items():
        if given and options.config is not None:
            raise ConfigurationError(
                f"--config is a task of its own, but {name.split()[0]} is of the suites: omit one"
            )
    if options.scheduler and not dask:
        raise ConfigurationError("--scheduler needs --backend dask: give both or neither")
    if dask and options.jobs is not None:
        raise ConfigurationError(
            "--jobs is for this machine, but --backend dask uses the workers of the cluster: omit "
            "one of them"
        )
    for name in ("jobs", "threads"):
        given = getattr(options, name)
        if given is not None and given < 1:
            raise ConfigurationError(f"--{name} must be at least 1, got {given}")


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(word for word in re.split(r"[,\s]+", text) if word))


def _numbers(text: str) -> list[int]:
    """Parses ``42,44-46`` as numbers."""
    found: list[int] = []
    for word in _words(text):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
        if match is None:
            raise ConfigurationError(
                f"--seeds: {word!r} is not a seed: give whole numbers such as 42,43 or 42-46"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        found += range(first, last + 1)
    if not found:
        raise ConfigurationError("--seeds has no seed: give a list such as 42,43 or 42-46")
    return list(dict.fromkeys(found))


def _range(seeds: Sequence[int]) -> str:
    whole = list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}-{seeds[-1]}" if list(seeds) == whole else ", ".join(map(str, seeds))
