"""The benchmarks' tasks: as many as published, under the published names."""

from __future__ import annotations

import csv
from pathlib import Path

from kanlit.benchmark import TASKS, build_matrix, choose_tasks, densities_by_class
from kanlit.benchmark.results import Key
from kanlit.benchmark.tasks import PAPER

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "kanlit" / "benchmark" / "published_medians.csv"


def test_tasks_are_those_of_the_published_table() -> None:
    lines = [line for line in PUBLISHED.read_text().splitlines() if not line.startswith("#")]
    published = {(row["benchmark"], row["task"]) for row in csv.DictReader(lines)}

    assert {(task.suite, task.name) for task in choose_tasks()} == published


def test_every_shipped_equation_is_a_task_with_its_config() -> None:
    configs = {path.stem for path in (ROOT / "configs" / "equations").glob("*.yaml")}
    own = {task.own for task in choose_tasks("equations")}

    assert own == configs | {"helmholtz"}


def test_the_papers_matrix_has_214_runs_the_longest_first() -> None:
    matrix = build_matrix(choose_tasks(), densities_by_class(["InputDensity", "CurvatureDensity"]))
    counts = {suite: sum(r.key.benchmark == suite for r in matrix.runs) for suite in PAPER}

    assert counts == {"synthetic": 100, "feynman": 90, "helmholtz": 24}
    assert len({run.key for run in matrix.runs}) == 214
    costs = [run.cost for run in matrix.runs]
    assert costs == sorted(costs, reverse=True)
    assert {run.key.benchmark for run in matrix.runs[:24]} == {"helmholtz"}


def test_densities_to_be_compared_run_one_after_the_other() -> None:
    names = ["InputDensity", "CurvatureDensity"]
    runs = build_matrix(choose_tasks("synthetic"), densities_by_class(names)).runs

    assert [run.key.density for run in runs] == names * 50


def test_files_of_different_runs_have_different_names() -> None:
    slugs = {
        Key(task.suite, task.name, density, "sound", seed).slug
        for task in TASKS.values()
        for density in ("a", "b.c")
        for seed in (4, 42)
    }

    assert len(slugs) == 4 * len(TASKS)
    assert all(slug.replace("-", "").replace(".", "").replace("_", "").isalnum() for slug in slugs)
