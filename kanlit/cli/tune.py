"""``kanlit tune``: searches settings of a run by Optuna."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kanlit.cli.command_parser import CommandParser
from kanlit.cli.commands import INTERRUPTED
from kanlit.errors import ConfigurationError
from kanlit.files import acquired, expanded, shown, writing_problem
from kanlit.runs.assembly import Assembly
from kanlit.runs.console import quiet_console
from kanlit.runs.isolation import preserved_settings
from kanlit.tuning.space import default_space, load_space

if TYPE_CHECKING:
    from kanlit.tuning.search import Search

__all__ = ["main"]

_SHOWN = 5  # best trials printed

_DESCRIPTION = """\
Trains networks with settings that Optuna chooses and keeps those that are best on validation:

  kanlit tune --config c.yaml --trials 50
  kanlit fit --config tune/best.yaml

Without --space, widths, G, degree and smoothness are searched. A trial that is worse than the
median of the others is stopped. DIR has study.db, trials.csv and best.yaml, up to date after each
trial.
The same command again, after a stop or with more trials, continues the search."""

_EPILOG = """\
A space maps settings of the config to lists of values or ranges:

  model.hidden: [[2], [5], [5, 5]]
  model.grid_size: {low: 3, high: 30, log: true}
  model.optimizer.smoothness: {low: 1.0e-6, high: 0.1, log: true}"""


def main(argv: Sequence[str]) -> int:
    """Runs the command with these arguments and returns its exit status.

    Raises:
        ConfigurationError: The user can correct the error.
    """
    options = _parser().parse_args(argv)
    if options.trials < 1:
        raise ConfigurationError(f"--trials must be at least 1, got {options.trials}: try 50")
    if find_spec("optuna") is None:
        raise ConfigurationError(
            "kanlit tune needs optuna, which is not installed: run pip install 'kanlit[tune]'"
        )
    from kanlit.tuning.search import Search

    config = _full(options.config)
    space = default_space(config) if options.space is None else load_space(options.space, config)
    if problem := writing_problem(options.out):
        raise ConfigurationError(
            f"cannot write to {shown(options.out)} ({problem}): give another folder with --out"
        )
    busy = f"another search is writing to {shown(options.out)}: give another folder with --out"
    lock = acquired(options.out / ".tune.lock", busy)
    try:
        search = Search(
            options.out, config, space, options.monitor, int(config["seed_everything"] or 0)
        )
        if done := len(search.finished):
            print(f"resumed: {done} trials in {shown(options.out)}")
        search.run(options.trials, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        again = shlex.join(["kanlit", "tune", *argv])
        print(f"kanlit: interrupted; continue with {again}", file=sys.stderr)
        return INTERRUPTED
    finally:
        lock.release()
    return _report(search)


def _full(config: str) -> dict[str, Any]:
    """All settings of a config, with defaults."""
    with preserved_settings(), quiet_console():
        assembly = Assembly(["--config", config], run=False, records=False)
    found: dict[str, Any] = yaml.safe_load(assembly.parser.dump(assembly.config, skip_unset=False))
    return found


def _report(search: Search) -> int:
    best = search.best
    table = search.table()
    print(f"trials: {', '.join(f'{n} {state}' for state, n in _counts(table['state']).items())}")
    if best is None:
        print("kanlit: all trials failed, see the column error of trials.csv", file=sys.stderr)
        return 1
    columns = [search.monitor, *(each.key for each in search.space), "parameters", "seconds"]
    print(table.loc[table.state == "complete", columns].head(_SHOWN).to_string(index=False))
    print(f"best {search.monitor}: {best.value:.3e}, {shown(search.folder / 'best.yaml')}")
    print(f"table: {shown(search.folder / 'trials.csv')}")
    print(f"next: kanlit fit --config {shlex.quote(shown(search.folder / 'best.yaml'))}")
    return 0


def _counts(states: Any) -> Mapping[str, int]:
    counts: Mapping[str, int] = states.value_counts().to_dict()
    return counts


def _parser() -> CommandParser:
    parser = CommandParser(
        "tune",
        "--config FILE --trials N [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--config", required=True, metavar="FILE", help="config of the run, as for kanlit fit")
    add("--trials", type=int, required=True, metavar="N", help="total number of trials")
    add("--space", metavar="FILE", help="YAML file with the settings and values to search")
    add(
        "--out",
        type=expanded,
        default=Path("tune"),
        metavar="DIR",
        help="folder of the search, resumed if it has one (default: tune)",
    )
    add(
        "--monitor",
        default="val/loss",
        metavar="NAME",
        help="validation metric, lower is better (default: val/loss)",
    )
    return parser
