"""Runs a matrix into a folder: what is there is kept, the rest is trained and written down."""

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
from kanlit.benchmark.results import Results, curve_path, locked, write_whole
from kanlit.benchmark.training import Outcome, train
from kanlit.errors import ConfigurationError
from kanlit.runs.settings import read_mapping

__all__ = ["Tally", "run_matrix"]


@dataclass
class Tally:
    """How a matrix stands.

    Attributes:
        total: Its runs.
        kept: Those that the folder already had.
        made: Those that were made, with or without success.
        failed: Those among ``made`` that have an error in their row.
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
    """Makes the runs of a matrix that a folder does not have yet.

    ``folder/results.csv`` gets a row for each as it ends, ``curves/`` its loss over the epochs,
    ``warnings.log`` what it warned of; ``settings.yaml`` says what recipes and densities are. A
    run that failed is a row with its error, and is made again, in its place, the next time.

    Args:
        matrix: From :func:`build_matrix`.
        folder: Where the results are kept.
        engine: What makes the runs, such as :func:`local_engine`.
        threads: Threads of each run.
        logs: Whether each keeps TensorBoard logs and checkpoints under ``folder/runs``.
        tally: Kept up to date, for a caller that may be interrupted.

    Raises:
        ConfigurationError: A folder that cannot be written, that another command is writing to,
            or whose results were made with other settings of the same name.
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
                    write_whole(curve_path(folder, row.key), _table(outcome.curve))
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
    """Writes down what recipes and densities are, and refuses others of the same name."""
    known = read_mapping(str(path), "file", "", "remove it") if path.exists() else {}
    for kind, meanings in matrix.meanings.items():
        there = known.setdefault(kind, {})
        for name, meaning in meanings.items():
            old = there.setdefault(name, {})
            # A recipe's benchmarks come one by one; those that are there must be the same.
            parts = meaning if kind == "recipes" else {"settings": meaning}
            for part, settings in parts.items():
                if old.setdefault(part, settings) != settings:
                    raise ConfigurationError(
                        f"{name} had other settings when {path.parent} was begun ({path.name} "
                        f"has them): give it another name, or another --out"
                    )
    write_whole(path, yaml.safe_dump(known, sort_keys=False))


def _progress(tally: Tally, cost: float) -> Tqdm:
    """A bar over the cost of the runs that are left, so that the time left is what it says."""
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
