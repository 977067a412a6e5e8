"""The report of a benchmark: tables, statistics and figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import kanlit
from kanlit.benchmark.comparison import in_order, suites
from kanlit.benchmark.recipe_report import RecipeReport, Settings
from kanlit.benchmark.sections import notes

__all__ = ["listed_names", "write_report"]

_DPI = 150


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
    failed = int(np.isinf(runs["criterion"]).sum())
    tasks = runs[["benchmark", "task"]].drop_duplicates()
    per_suite = [f"{(tasks['benchmark'] == suite).sum()} {suite}" for suite in suites(runs)]
    versions = ", ".join(in_order(runs["version"]))
    lines = ["# Benchmark report", "", f"    {command}", ""]
    lines += [
        f"kanlit {versions}; **{len(runs)} runs, {failed or 'none'} failed**: {len(tasks)} tasks "
        f"({', '.join(per_suite)}), densities {listed_names(settings.densities)}"
        + (f", baseline `{settings.baseline}`." if settings.baseline else "."),
        "",
    ]
    if versions != kanlit.__version__:
        lines += [f"Report by kanlit {kanlit.__version__}.", ""]
    if len(set(runs["version"])) > 1:
        lines += ["The runs come from several versions of kanlit: compare them with care.", ""]
    return lines


def listed_names(densities: Sequence[str]) -> str:
    """Names of densities in Markdown."""
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
