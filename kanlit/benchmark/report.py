"""``kanlit benchmark report DIR``: tables, statistics and figures of a benchmark."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import kanlit
from kanlit.benchmark.comparison import in_order, named_like, suites
from kanlit.benchmark.published import published_medians
from kanlit.benchmark.recipe_report import RecipeReport, Settings
from kanlit.benchmark.report_input import read_curves, read_runs
from kanlit.benchmark.sections import notes
from kanlit.errors import ConfigurationError

__all__ = ["main", "write_report"]

_DPI = 150


def main(argv: list[str]) -> None:
    """Entry point of ``kanlit benchmark report``.

    Raises:
        ConfigurationError: If an option or ``results.csv`` is invalid.
    """
    options = _parser().parse_args(argv)
    folder = Path(options.folder)
    runs = read_runs(folder)
    baseline, against = _chosen(in_order(runs["density"]), options.baseline, options.against)
    settings = Settings(baseline, against, published_medians() if options.published else None)
    out = Path(options.out) if options.out else folder / "report"
    command = shlex.join(["kanlit", "benchmark", "report", *argv])
    curves = read_curves(folder, runs)
    try:
        path = write_report(runs, curves, settings, out, command)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the report to {out} ({error.strerror}): give another --out"
        ) from None
    print(f"report: {path}")


def write_report(
    runs: pd.DataFrame, curves: pd.DataFrame, settings: Settings, out: Path, command: str
) -> Path:
    """Writes ``report.md``, ``medians.csv``, ``summary.csv``, ``published.csv`` and ``figures/``.

    Args:
        runs: Result of ``read_runs``.
        curves: Result of ``read_curves``.
        settings: What to compare.
        out: Output folder, created if missing.
        command: Command line, shown at the top of the report.

    Returns:
        The path of ``report.md``.
    """
    runs = runs[runs["density"].isin(settings.densities)]
    (out / "figures").mkdir(parents=True, exist_ok=True)
    lines = _head(runs, settings, command)
    tables: dict[str, list[pd.DataFrame]] = {}
    for stem, recipe in _stems(in_order(runs["recipe"])).items():
        of_recipe = curves[curves["recipe"] == recipe]
        report = RecipeReport(recipe, runs[runs["recipe"] == recipe], of_recipe, settings)
        places = {}
        for name, figure in report.figures().items():
            places[name] = f"figures/{stem}_{name}.png"
            _save(figure, out / places[name])
        lines += report.lines(places)
        for name, table in report.tables().items():
            table.insert(0, "recipe", recipe)
            tables.setdefault(name, []).append(table)
    lines += notes(settings.baseline)
    for name in ("medians", "summary", "published"):
        file = out / f"{name}.csv"
        if name in tables:
            pd.concat(tables[name]).to_csv(file, index=False, float_format="%.6g")
        else:
            file.unlink(missing_ok=True)  # from an earlier report with other options
    path = out / "report.md"
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return path


def _head(runs: pd.DataFrame, settings: Settings, command: str) -> list[str]:
    failed = int(np.isinf(runs["rel_l2"]).sum())
    tasks = runs[["benchmark", "task"]].drop_duplicates()
    per_suite = [f"{(tasks['benchmark'] == suite).sum()} {suite}" for suite in suites(runs)]
    versions = ", ".join(in_order(runs["version"]))
    lines = ["# Benchmark report", "", f"    {command}", ""]
    lines += [
        f"kanlit {versions}; **{len(runs)} runs, {failed or 'none'} failed**: {len(tasks)} tasks "
        f"({', '.join(per_suite)}), densities {_names(settings.densities)}"
        + (f", baseline `{settings.baseline}`." if settings.baseline else "."),
        "",
    ]
    if versions != kanlit.__version__:
        lines += [f"Report by kanlit {kanlit.__version__}.", ""]
    if len(set(runs["version"])) > 1:
        lines += ["The runs come from several versions of kanlit: compare them with care.", ""]
    return lines


def _chosen(
    present: Sequence[str], baseline: str | None, against: str | None
) -> tuple[str | None, tuple[str, ...]]:
    """The baseline and the densities compared with it, from the options or by their names."""
    there = f"there are {_names(present)}"
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


def _names(densities: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in densities)


def _stems(recipes: Sequence[str]) -> dict[str, str]:
    """Recipes by the prefix of their figures' file names; a recipe may be a path."""
    stems: dict[str, str] = {}
    for recipe in recipes:
        stem = re.sub(r"[^0-9A-Za-z]+", "_", recipe.removesuffix(".yaml")).strip("_") or "recipe"
        stems[stem if stem not in stems else f"{stem}_{len(stems) + 1}"] = recipe
    return stems


def _save(figure: Figure, path: Path) -> None:
    """Saves a figure as PNG and SVG, reproducibly to the byte."""
    with matplotlib.rc_context({"svg.hashsalt": "kanlit"}):
        figure.savefig(path, dpi=_DPI, metadata={"Software": None})
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


class _Parser(argparse.ArgumentParser):
    """Raises errors on the command line, which ``kanlit`` prints."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message}: see kanlit benchmark report --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="kanlit benchmark report",
        description="Writes tables, statistics and figures of the runs of kanlit benchmark.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="DIR", help="folder with results.csv and curves/")
    parser.add_argument(
        "--baseline",
        metavar="DENSITY",
        help="density to compare the others with (default: the one named like input)",
    )
    parser.add_argument(
        "--against",
        metavar="DENSITY[,...]",
        help="densities to compare with it (default: all others)",
    )
    parser.add_argument("--out", metavar="DIR", help="output folder (default: DIR/report)")
    parser.add_argument(
        "--published",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compare with the results of arXiv 2601.18672 (default: yes)",
    )
    return parser
