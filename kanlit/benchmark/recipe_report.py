"""The part of a report on one recipe: tables, text and figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kanlit.benchmark.comparison import (
    complete_medians,
    criterion,
    in_order,
    median_table,
    named_like,
    of_suite,
    pair_table,
    suites,
    summaries,
)
from kanlit.benchmark.comparison_figures import rank_figure, ratio_figure
from kanlit.benchmark.figures import convergence_figure, median_figure
from kanlit.benchmark.published import beside_published
from kanlit.benchmark.published_section import equations_beside_published, published_section
from kanlit.benchmark.ranks import critical_distance, friedman_p, mean_ranks
from kanlit.benchmark.sections import (
    class_section,
    error_section,
    failure_section,
    missing_tasks,
    summary_section,
    time_section,
)
from kanlit.benchmark.tasks import CLASSES

__all__ = ["RecipeReport", "Settings"]


@dataclass(frozen=True)
class Settings:
    """What to compare.

    Attributes:
        baseline: Density that the others are compared with; no comparisons if ``None``.
        against: The other densities, in order.
        published: Result of ``published_medians``, or ``None``.
    """

    baseline: str | None
    against: tuple[str, ...]
    published: pd.DataFrame | None

    @property
    def densities(self) -> list[str]:
        return [*([] if self.baseline is None else [self.baseline]), *self.against]


class RecipeReport:
    """Evaluates the runs of one recipe.

    Args:
        recipe: Name of the recipe.
        runs: Its runs from ``read_runs``, of the densities in ``settings``.
        curves: Its curves from ``read_curves``.
        settings: What to compare.
    """

    def __init__(
        self, recipe: str, runs: pd.DataFrame, curves: pd.DataFrame, settings: Settings
    ) -> None:
        present = set(runs["density"])
        self._recipe, self._runs, self._curves = recipe, runs, curves
        self._densities = [name for name in settings.densities if name in present]
        self._medians = median_table(runs, self._densities)
        self._baseline = settings.baseline if settings.baseline in present else None
        self._pairs: dict[str, pd.DataFrame] = {}
        self._summaries = []
        if self._baseline is not None:
            against = [name for name in settings.against if name in present]
            self._summaries = summaries(runs, self._baseline, against)
            compared = {summary.density for summary in self._summaries}
            self._pairs = {
                name: pair_table(runs, self._baseline, name) for name in against if name in compared
            }
        self._published = settings.published
        self._beside = pd.DataFrame()
        if settings.published is not None:
            names = {word: named_like(self._densities, word) for word in ("input", "curvature")}
            own = {word: name for word, name in names.items() if name is not None}
            self._beside = beside_published(self._medians, own, settings.published)

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables ``medians``, ``summary`` and ``published`` that have rows."""
        medians = self._medians
        if self._pairs:
            pairs = pd.concat(self._pairs.values())
            medians = medians.merge(pairs, on=["benchmark", "task", "density"], how="left")
        found = {
            "medians": medians,
            "summary": pd.DataFrame([summary.row() for summary in self._summaries]),
            "published": self._beside,
        }
        return {name: table for name, table in found.items() if not table.empty}

    def figures(self) -> dict[str, Figure]:
        """The figures by name; the report expects them at ``figures/STEM_NAME.png``."""
        found = {}
        table = complete_medians(self._medians, self._densities)
        if len(self._densities) > 2 and len(table) > 1:
            values = table.to_numpy(np.float64)
            ranks = dict(zip(self._densities, map(float, mean_ranks(values)), strict=True))
            found["ranks"] = rank_figure(
                ranks,
                critical_distance(len(ranks), len(values)),
                len(values),
                friedman_p(values),
                f"Ranks of the densities, recipe {self._recipe}",
            )
        elif len(self._densities) == 2 and self._pairs:
            ((density, pair),) = self._pairs.items()
            title = f"{density} and {self._baseline}, recipe {self._recipe}"
            found["ratios"] = ratio_figure(pair, self._summaries, str(self._baseline), title)
        for suite in suites(self._runs):
            paper = None if self._beside.empty else of_suite(suite, self._beside)
            found[f"{suite}_medians"] = median_figure(
                of_suite(suite, self._runs),
                of_suite(suite, self._medians),
                self._densities,
                criterion(suite),
                f"Final errors, {suite}, recipe {self._recipe}",
                None if paper is None or paper.empty else paper,
            )
        for suite in suites(self._curves):
            part = of_suite(suite, self._curves)
            found[f"{suite}_convergence"] = convergence_figure(
                part,
                in_order(part["task"]),
                self._densities,
                f"Training loss, {suite}, recipe {self._recipe}: medians over seeds",
            )
        return found

    def lines(self, figures: dict[str, str]) -> list[str]:
        """The section in Markdown.

        Args:
            figures: Path of each figure, relative to the report.
        """
        pairs = pd.concat(self._pairs.values()) if self._pairs else pd.DataFrame()
        lines = [f"## Recipe `{self._recipe}`", ""]
        lines += failure_section(self._runs[np.isinf(self._runs["criterion"])])
        lines += missing_tasks(self._medians, self._densities)
        if self._baseline is not None and self._summaries:
            lines += ["### Summary", "", *summary_section(self._summaries, self._baseline)]
        elif len(self._densities) == 1:
            lines += [f"Only `{self._densities[0]}` was run: nothing to compare.", ""]
        else:
            lines += ["No density shares a task with the baseline: nothing to compare.", ""]
        for name, words in (
            ("ratios", "Errors relative to the baseline, with intervals"),
            ("ranks", "Mean ranks of the densities and critical distance"),
        ):
            if name in figures:
                lines += [f"![{words}]({figures[name]})", ""]
        if self._published is not None:
            lines += published_section(
                self._medians, self._beside, self._summaries, self._densities, self._published
            )
        for suite in suites(self._medians):
            lines += [f"### {suite.capitalize()}", ""]
            if suite == "equations" and self._published is not None:
                lines += equations_beside_published(self._medians, self._densities)
            lines += error_section(suite, self._medians, pairs, self._densities)
            if suite == CLASSES:
                lines += class_section(suite, self._medians, self._densities)
            for name, words in (("medians", "Final errors"), ("convergence", "Training loss")):
                if place := figures.get(f"{suite}_{name}"):
                    lines += [f"![{words}, {suite}]({place})", ""]
            lines += time_section(suite, self._medians, pairs, self._densities)
        return lines
