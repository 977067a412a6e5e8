"""``kanlit compare``: trained runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from kanlit.benchmark.markdown import NONE, cell, number, table
from kanlit.checkpoints import runs_in
from kanlit.checkpoints.record import RunRecord, read_record, runs_under
from kanlit.cli.command_parser import CommandParser
from kanlit.errors import ConfigurationError
from kanlit.files import check_output, expanded, shown, written_whole
from kanlit.runs.results import read_results
from kanlit.runs.settings import settings_of

__all__ = ["main"]

_DESCRIPTION = """\
Prints one row per run: the settings in which the runs differ, test metrics, the grid size G,
parameters, epochs and seconds. The most accurate run comes first; runs that have not ended, last.

  kanlit compare                                      all runs under lightning_logs
  kanlit compare lightning_logs/version_3 lightning_logs/mytry
  kanlit compare other_project --csv runs.csv         with all metrics, for a spreadsheet

A name in front of a metric, as in best/rel_l2, is that of the checkpoint best on validation."""

_MAIN = ("accuracy", "rel_l2", "loss")  # the metrics to sort by, the first that a run has
_PLACES = ("trainer.logger", "trainer.default_root_dir", "checkpoint.dirpath")


def main(argv: Sequence[str]) -> int:
    """Runs the command with these arguments and returns its exit status.

    Raises:
        ConfigurationError: The user can correct the error.
    """
    options = _parser().parse_args(argv)
    if options.csv is not None:
        check_output(options.csv, (".csv",))
    runs = {run.folder: run for folder in options.folders for run in _runs(folder)}
    if not runs:
        places = ", ".join(shown(folder) for folder in options.folders)
        raise ConfigurationError(
            f"no run of kanlit fit in {places}: give the folder of a run, or one with runs"
        )
    rows = comparison(list(runs.values()))
    if options.csv is not None:
        with written_whole(options.csv) as unfinished:
            rows.to_csv(unfinished, index=False)
        print(f"{len(rows)} runs: {shown(options.csv)}")
        return 0
    words = rows.map(_words)
    if options.markdown:
        print("\n".join(table(list(words.columns), words.to_numpy().tolist())))
    else:
        print(words.to_string(index=False))
    return 0


def comparison(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """One row per run, the most accurate first.

    Columns: ``run``; the settings that differ, by their key; test metrics, those of the checkpoint
    best on validation as ``best/NAME``; ``G``, ``parameters``, ``epochs``, ``seconds``.
    """
    settings = pd.DataFrame([_settings(run) for run in runs])
    differ = [key for key in settings.columns if _differs(key, settings)]
    results = pd.DataFrame([_results(run) for run in runs])
    rows = pd.concat([results[["run"]], settings[differ], results.drop(columns="run")], axis=1)
    main = next((name for name in _MAIN if name in rows), None)
    if main is None:
        return rows
    return rows.sort_values(main, ascending=main != "accuracy", ignore_index=True)


def _differs(key: str, settings: pd.DataFrame) -> bool:
    """Whether runs differ in a setting other than by a class that has no such setting."""
    values, parts = settings[key], key.split(".")
    if values.nunique() > 1 or not values.hasnans:
        return values.nunique() > 1
    above = [".".join(parts[:i]) for i in range(1, len(parts))]
    return not any(each in settings and settings[each].nunique() > 1 for each in above)


def _runs(folder: Path) -> list[RunRecord]:
    """The training runs in a folder, the oldest first."""
    own = read_record(folder)
    found = [own] if own is not None else runs_under(folder) or runs_in(folder)
    trained = [run for run in reversed(found) if run.command == "fit"]
    return [run for run in trained if (run.folder / "config.yaml").is_file()]


def _settings(run: RunRecord) -> dict[str, str]:
    """Settings of a run by key, as text, without those that say where its files are."""
    found: dict[str, str] = {}
    for setting in settings_of(["--config", str(run.folder / "config.yaml")], "fit"):
        nested = isinstance(setting.value, list) and any(isinstance(v, dict) for v in setting.value)
        if setting.value != {} and not nested and not setting.key.startswith(_PLACES):
            value = str(setting.value)
            found[setting.key] = value.rpartition(".")[2] if setting.names_class else value
    return found


def _results(run: RunRecord) -> dict[str, object]:
    found: dict[str, object] = {"run": shown(run.folder)}
    results = read_results(run.folder)
    if results is None:
        return found
    found |= {key.removeprefix("test/"): value for key, value in results.test.items()}
    found |= {f"best/{key.removeprefix('test/')}": value for key, value in results.best.items()}
    sizes = {"G": results.grid_size, "parameters": results.parameters, "epochs": results.epochs}
    return {**found, **sizes, "seconds": results.seconds}


def _words(value: object) -> str:
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e15
        return str(int(value)) if whole else number(value)
    return NONE if value is None else cell(value)


def _parser() -> CommandParser:
    parser = CommandParser("compare", "[DIR …] [options]", description=_DESCRIPTION)
    add = parser.add_argument
    add(
        "folders",
        nargs="*",
        type=expanded,
        default=[Path()],
        metavar="DIR",
        help="the folder of a run, or one with runs (default: this folder)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="prints a table in Markdown")
    form.add_argument(
        "--csv", type=expanded, metavar="FILE", help="writes a CSV file, numbers in full"
    )
    return parser
