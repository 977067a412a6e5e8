"""Trains the runs of a matrix that a folder does not have yet and records them there."""

from __future__ import annotations

import csv
import io
import sys
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from kanlit.benchmark.engine import Engine
from kanlit.benchmark.matrix import Matrix, Run
from kanlit.benchmark.recorder import Point
from kanlit.benchmark.results import Results, curve_path, locked
from kanlit.benchmark.training import Outcome, train
from kanlit.errors import ConfigurationError
from kanlit.files import write_text
from kanlit.runs.settings import read_mapping

__all__ = ["Tally", "run_matrix"]


@dataclass
class Tally:
    """Progress of a matrix.

    Attributes:
        total: Number of runs.
        kept: Number of runs that the folder already had.
        made: Number of finished runs, including failed ones.
        failed: Number of failed runs among them.
    """

    total: int
    kept: int = 0
    made: int = 0
    failed: int = 0


def run_matrix(
    matrix: Matrix,
    folder: str | Path,
    engine: Engine,
    threads: int = 1,
    logs: bool = False,
    tally: Tally | None = None,
) -> Tally:
    """Trains the runs of a matrix that a folder does not have yet.

    When a run ends, its row is added to ``folder/results.csv``, its loss curve to ``curves/`` and
    its warnings to ``warnings.log``. ``settings.yaml`` holds the settings of recipes and densities.
    A failed run gets a row with its error, and is repeated by the next call.

    Args:
        matrix: Result of :func:`build_matrix`.
        folder: Folder of the results.
        engine: Trains the runs, for example :func:`local_engine`.
        threads: Threads per run.
        logs: Whether to keep TensorBoard logs and checkpoints under ``folder/runs``.
        tally: Updated after each run, for callers that can be interrupted.

    Raises:
        ConfigurationError: If the folder cannot be written, another command is writing to it, or
            its results have other settings under the same name.
    """
    folder = Path(folder).resolve()
    tally = tally or Tally(0)
    with locked(folder):
        results = Results(folder)
        _agree(matrix, folder / "settings.yaml")
        (folder / "curves").mkdir(exist_ok=True)
        left = [run for run in matrix.runs if not results.done(run.key)]
        tally.total, tally.kept = len(matrix.runs), len(matrix.runs) - len(left)
        one = partial(_train, threads=threads, logs=folder / "runs" if logs else None)
        costs = {run.key: run.cost for run in left}
        bar = _progress(tally, sum(costs.values()))
        with bar, closing(engine(left, one)) as outcomes:
            for outcome in outcomes:
                row = outcome.row
                if outcome.curve:
                    write_text(curve_path(folder, row.key), _table(outcome.curve))
                _note(folder / "warnings.log", outcome)
                results.add(row)
                tally.made += 1
                tally.failed += bool(row.error)
                bar.set_description_str(_words(tally), refresh=False)
                bar.update(costs[row.key])
    return tally


def _train(run: Run, threads: int, logs: Path | None) -> Outcome:
    return train(run, threads, None if logs is None else logs / run.key.slug)


def _agree(matrix: Matrix, path: Path) -> None:
    """Records the settings of recipes and densities; refuses others with the same name."""
    known = read_mapping(str(path), "file", "", "remove it") if path.exists() else {}
    for kind, meanings in matrix.meanings.items():
        there = known.setdefault(kind, {})
        for name, meaning in meanings.items():
            old = there.setdefault(name, {})
            # Benchmarks of a recipe can be added later; those already recorded must agree.
            parts = meaning if kind == "recipes" else {"settings": meaning}
            for part, settings in parts.items():
                if old.setdefault(part, settings) != settings:
                    raise ConfigurationError(
                        f"{name} had other settings in earlier runs in {path.parent} (see "
                        f"{path.name}): give it another name, or choose another folder"
                    )
    write_text(path, yaml.safe_dump(known, sort_keys=False))


def _progress(tally: Tally, cost: float) -> Tqdm:
    """A progress bar over the cost of the remaining runs, so that it estimates the time well."""
    return Tqdm(
        total=cost,
        desc=_words(tally),
        dynamic_ncols=True,
        file=sys.stderr,
        mininterval=0.2 if sys.stderr.isatty() else 10,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]",
    )


def _words(tally: Tally) -> str:
    words = f"{tally.kept + tally.made}/{tally.total} runs"
    return f"{words}, {tally.failed} failed" if tally.failed else words


def _table(curve: tuple[Point, ...]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Point._fields)
    writer.writerows((*point[:-1], int(point.adapted)) for point in curve)
    return text.getvalue()


def _note(path: Path, outcome: Outcome) -> None:
    lines = [f"{outcome.row.key.slug}: {' '.join(w.split())}\n" for w in outcome.warnings]
    if lines:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(lines)
